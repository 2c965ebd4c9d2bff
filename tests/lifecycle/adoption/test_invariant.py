"""Nothing that a project declares disappears silently: it is carried over, or reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.adoption import project, pyproject
from tasks.adoption.declared import requirement_name
from tests.lifecycle.adoption.conftest import Template

WORD = st.from_regex(r"[a-z][a-z0-9]{1,6}", fullmatch=True)
NAMES = [
    "numpy",
    "mlflow",
    "pytest",
    "ruff",
    "keras",
    "psycopg2-binary",
    "asyncpg",
    "apache-airflow",
]
REQUIREMENT = st.builds(
    "{}{}{}".format,
    st.sampled_from(NAMES) | WORD,
    st.sampled_from(["", ">=1.2", "==2.0.*", "<3,>=1", "[all]>=1"]),
    st.sampled_from(["", " ; python_version < '3.12'", " ; sys_platform == 'linux'"]),
)
REQUIREMENTS = st.lists(REQUIREMENT, max_size=6, unique=True)
SCALAR = st.booleans() | st.integers(0, 99) | st.text("ab ü'\"\\#", max_size=5)
VALUE = SCALAR | st.lists(WORD, max_size=3) | st.dictionaries(WORD, SCALAR, max_size=2)
TABLE = st.dictionaries(WORD, VALUE, min_size=1, max_size=3)
TEXTS = st.dictionaries(WORD, WORD, min_size=1, max_size=3)
PEOPLE = st.lists(st.fixed_dictionaries({"name": WORD}), min_size=1, max_size=3)
PROJECT = st.fixed_dictionaries(
    {"name": WORD},
    optional={
        "version": st.sampled_from(["1.0", "2.3.4"]),
        "description": WORD,
        "requires-python": st.sampled_from([">=3.8", ">=3.11", ">=3.10,<3.13", "<3.9", "~=3.11"]),
        "license": st.sampled_from(["GPL-3.0-or-later", "MIT"]) | st.just({"text": "Our terms"}),
        "keywords": st.lists(WORD, max_size=3),
        "classifiers": st.just(["Programming Language :: Python :: 3"]),
        "authors": PEOPLE,
        "maintainers": PEOPLE,
        "urls": TEXTS,
        "scripts": TEXTS,
        "gui-scripts": TEXTS,
        "entry-points": st.dictionaries(WORD, TEXTS, min_size=1, max_size=2),
        "optional-dependencies": st.dictionaries(WORD, REQUIREMENTS, max_size=2),
        "dependencies": REQUIREMENTS,
    },
)
TOOLS = st.dictionaries(
    st.sampled_from(["ruff", "mypy", "black", "coverage", "setuptools", "pdm"]), TABLE, max_size=3
)
DOCUMENT = st.fixed_dictionaries(
    {"project": PROJECT},
    optional={
        "tool": TOOLS,
        "dependency-groups": st.dictionaries(st.just("dev") | WORD, REQUIREMENTS, max_size=2),
        "build-system": st.sampled_from(
            [
                {"requires": ["setuptools", "cython"], "build-backend": "setuptools.build_meta"},
                {"requires": ["hatchling", "hatch-vcs"], "build-backend": "hatchling.build"},
            ]
        ),
    },
)


def lost(before: Mapping[str, Any], after: Mapping[str, Any], said: str) -> Iterator[str]:
    """What is neither in its place in the adopted file, nor in the notes."""
    for key, value in before.items():
        new = after.get(key)
        if isinstance(value, Mapping) and value:
            yield from lost(value, new if isinstance(new, Mapping) else {}, said)
        elif isinstance(value, list):
            for each in value:
                there = isinstance(new, list) and (each in new or (is_bare(each, new)))
                if not (there or str(each) in said):
                    yield f"{key}: {each}"
        elif key == "requires-python" and all(each in str(new) for each in value.split(",")):
            continue  # within what the framework supports
        elif value != new and not (value == {} or repr(value) in said or str(value) in said):
            yield f"{key} = {value}"


def is_bare(line: Any, lines: list[Any]) -> bool:
    """Whether a package without a constraint is there with one of ours."""
    return isinstance(line, str) and line in [
        requirement_name(each) for each in lines if isinstance(each, str)
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=DOCUMENT)
def test_all_of_a_pyproject_is_carried_over_or_named(
    template: Template, document: dict[str, Any]
) -> None:
    merged = project.merge(
        template("pyproject.toml", "uv"), pyproject.read(tomlkit.dumps(document))
    )
    after = tomlkit.parse(merged.text).unwrap()
    if license_of := document["project"].get("license"):
        assert after["project"]["license"] == license_of
    assert not list(lost(document, after, "\n".join(merged.notes))), merged.notes
    assert after["tool"]["gaiaflow"]["package"] == "lakes"
    assert after["build-system"]["build-backend"] == "hatchling.build"
