"""What a file of a project declares, in the words of pyproject.toml, whatever the file's format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

# What the framework brings in an environment of its own.
FRAMEWORK = {"airflow", "apache-airflow", "dag-factory", "gaiaflow"}
# What the original's framework needed besides: left out only where it was generated.
ORIGINAL = FRAMEWORK | {"asyncpg", "psycopg2", "psycopg2-binary"}

# Fields of [project] that are tables or lists of which each entry counts by itself.
TABLES = ("urls", "scripts", "gui-scripts", "entry-points", "optional-dependencies")


@dataclass
class Declared:
    """What one file declares. What has no place in pyproject.toml is in the notes."""

    source: str
    project: dict[str, Any] = field(default_factory=dict)  # [project] without its dependencies
    dependencies: list[str] = field(default_factory=list)
    groups: dict[str, list[Any]] = field(default_factory=dict)  # [dependency-groups]
    tools: dict[str, Any] = field(default_factory=dict)  # tables of [tool]
    build: dict[str, Any] = field(default_factory=dict)  # [build-system], if it can stay
    notes: list[str] = field(default_factory=list)

    def entry_points(self, groups: Mapping[str, Mapping[str, str]]) -> None:
        """Take over entry points by group; pyproject.toml has a table of its own for scripts."""
        own = {"console_scripts": "scripts", "gui_scripts": "gui-scripts"}
        for group, points in groups.items():
            if group in own:
                self.project.setdefault(own[group], {}).update(points)
            else:
                table = self.project.setdefault("entry-points", {})
                table.setdefault(group, {}).update(points)


@dataclass(frozen=True)
class Merged:
    """A merged file, and what a person may want to know."""

    text: str
    notes: list[str]


def requirement_name(requirement: str) -> str:
    """The name in a requirement of pip or conda."""
    try:
        return canonicalize_name(Requirement(requirement).name)
    except InvalidRequirement:
        text = requirement.strip().rpartition("::")[2]  # conda's may start with a channel
        return canonicalize_name(re.split(r"[\s=<>!~\[;@]", text, maxsplit=1)[0])


def is_requirement(text: object) -> bool:
    """Whether it is a requirement as pyproject.toml has them."""
    try:
        Requirement(str(text))
    except InvalidRequirement:
        return False
    return isinstance(text, str)


def is_framework(name: str) -> bool:
    """Whether a package belongs to Airflow's environment, which the framework makes."""
    return name in FRAMEWORK or name.startswith("apache-airflow-")


def person(text: str) -> dict[str, str]:
    """An author as `A Name <mail@example.org>`."""
    found = re.fullmatch(r"\s*(.*?)\s*<([^<>]+)>\s*", text)
    if found:
        return {
            key: each for key, each in zip(("name", "email"), found.groups(), strict=True) if each
        }
    return {"name": text.strip()}


def people(names: str, emails: str) -> list[dict[str, str]]:
    """Authors as setuptools has them: names and addresses, each separated by commas."""
    listed = [[part.strip() for part in text.split(",")] for text in (names, emails) if text]
    if len({len(each) for each in listed}) > 1:
        return [{"name": names}, *({"email": each} for each in listed[1])]
    keys = [key for key, text in (("name", names), ("email", emails)) if text]
    return [
        {key: each for key, each in zip(keys, entry, strict=True) if each}
        for entry in zip(*listed, strict=True)
    ]


def words(value: str | Iterable[str]) -> list[str]:
    """Keywords: a list, or a text with commas or spaces between them."""
    if not isinstance(value, str):
        return [str(each) for each in value]
    return [each for each in re.split(r"\s*,\s*|\n" if "," in value else r"\s+", value) if each]


def with_marker(requirement: str, marker: str) -> str:
    """A requirement for some environments only."""
    if not marker:
        return requirement
    text, _, present = requirement.partition(";")
    joined = f"({present.strip()}) and ({marker})" if present.strip() else marker
    return f"{text.strip()}; {joined}"


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterable[tuple[tuple[str, ...], Any]]:
    """The values of nested tables, with the keys that lead to them."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, str(key)))
    elif path:
        yield path, value


def differing(ours: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Of nested tables what is not the same in another one."""
    found: dict[str, Any] = {}
    for key, value in ours.items():
        old = base.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if inner := differing(value, old):
                found[key] = inner
        elif key not in base or value != old:
            found[key] = value
    return found


Reader = Callable[[str], Declared]
