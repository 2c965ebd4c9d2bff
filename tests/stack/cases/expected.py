"""What the DAGs of dags.py give, in every mode: XComs of `return_value` by task and map index."""

from __future__ import annotations

import hashlib
from typing import Any

SECRET = "s3cr3t-of-the-archive"

_FIRST = {
    "text": "ä\"'\n{}$HOME",
    "number": 1.5,
    "big": 2**53,
    "none": None,
    "yes": True,
    "list": [1, ["a"]],
    "dict": {"a": {"b": []}},
    "script": "run.sh",
    "rendered": "Wälder",
}
_ENVIRONMENT = {
    "TEXT": "a",
    "NUMBER": "7",
    "FROM_TASK": '{"a": {"b": []}}',
    "NAME": "Wälder",
    "GAIAFLOW_TASK": "third",
}


def mapping(count: int) -> dict[str, Any]:
    scenes = [{"id": f"S2-{i}", "cloud": i / 10} for i in range(count)]
    areas = [i / 10 * 2 for i in range(count)]
    results = [{"scene": f"S2-{i}", "area": area} for i, area in enumerate(areas)]
    return {
        "search": {"scenes": scenes, "count": count},
        **{f"predict[{i}]": result for i, result in enumerate(results)},
        "total": {"sum": round(sum(areas), 6), "of": count},
        "collect": [result["scene"] for result in results],
        "numbers": [0, 1],
        "squares[0]": 0,
        "squares[1]": 1,
        "again[0]": 0,
        "again[1]": 1,
        "literal[0]": 9,
        "literal[1]": 16,
        "sum": {"sum": 1, "of": 2},
        "sum_of_literal": {"sum": 25, "of": 2},
    }


GREEN: dict[str, dict[str, Any]] = {
    "arguments": {
        "first": _FIRST,
        "second": {
            "whole": _FIRST,
            "entry": {"a": {"b": []}},
            "none": None,
            "deep": [{"in": "ä\"'\n{}$HOME"}],
            "name": "Wälder",
            "count": 4,
            "ratio": 0.5,
        },
        "third": _ENVIRONMENT,
    },
    "groups": {
        "prepare.one": 4,
        "prepare.inner.two": 16,
        "prepare.inner.many[0]": 1,
        "prepare.inner.many[1]": 4,
        "end": {"two": 16, "many": [1, 4]},
    },
    "without_result": {"after": {"none": None, "zero": None}},
    "retried": {"flaky": {"attempt": "2"}, "after": {"flaky": {"attempt": "2"}}},
    "secret": {
        "digest": hashlib.sha256(SECRET.encode()).hexdigest(),
        "hidden": {"EARTHDATA_TOKEN": None},
    },
    "reach": {"mlflow": 200},
}

# What the log of a failed task says.
RED: dict[str, tuple[str, ...]] = {
    "raises": ("before the failure", "about to fail", "ValueError: no scene of this month"),
    "exits": ("failed with exit code 3",),
    "no_json": ("'model' in the result of", "is not a JSON value (object)"),
    "large": ("'rows' in the result of", "is too large (200", "pass its key"),
    "missing": ("has no function 'not_there'",),
    "unexpected": ("unexpected keyword argument 'numbr'",),
}
RED_WITH_A_LIMIT = {
    "hungry": (
        "needed more memory than its limit of 64Mi",
        'create_task(..., resources={"memory": "128Mi"',
    ),
}
