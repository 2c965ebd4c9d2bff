"""The names of the values that the official Airflow chart knows, in chart_values.txt.

Make it again for another release, from the chart's folder:

    python -m tests.deploy.chart FOLDER
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

NAMES_FILE = Path(__file__).with_name("chart_values.txt")
_OPEN = ".*"  # an object whose names are not the chart's, such as a pod's security context


def names(chart: Path) -> list[str]:
    """The names of all values, such as "ingress.apiServer.hosts[].name"."""
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    return sorted(set(_names(schema, "")))


def paths(values: Any, path: str = "") -> Iterator[str]:
    """The names of all values in a values file, written in the same way."""
    if isinstance(values, dict) and values:
        for name, value in values.items():
            yield from paths(value, f"{path}.{name}" if path else name)
    elif isinstance(values, list) and values:
        for value in values:
            yield from paths(value, f"{path}[]")
    else:
        yield path


def is_known(path: str, known: set[str]) -> bool:
    """Whether the chart knows a name, or lets anything stand there."""
    parts = path.split(".")
    starts = (".".join(parts[:count]) for count in range(1, len(parts)))
    return path in known or any(start + _OPEN in known for start in starts)


def version(chart: Path) -> str:
    """The chart's release."""
    about = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    return str(about["version"])


def text(chart: Path) -> str:
    """What chart_values.txt contains."""
    source = "https://github.com/apache/airflow, chart/values.schema.json (Apache License 2.0)"
    head = f"# The values of Airflow's chart {version(chart)}, from {source}"
    return "\n".join([head, *names(chart), ""])


def _names(schema: dict[str, Any], path: str) -> Iterator[str]:
    for alternative in (*schema.get("anyOf", []), *schema.get("oneOf", [])):
        yield from _names(alternative, path)
    if inside := schema.get("properties"):
        for name, about in inside.items():
            yield from _names(about, f"{path}.{name}" if path else name)
    elif isinstance(schema.get("items"), dict):
        yield path  # an empty list
        yield from _names(schema["items"], f"{path}[]")
    elif "$ref" in schema or "object" in schema.get("type", ""):
        yield path
        yield path + _OPEN
    else:
        yield path


if __name__ == "__main__":
    NAMES_FILE.write_text(text(Path(sys.argv[1])), encoding="utf-8")
