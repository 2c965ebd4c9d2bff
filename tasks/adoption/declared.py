"""What a project's file declares, in terms of pyproject.toml, whatever the file's format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

# What the framework installs in a separate environment.
FRAMEWORK = {"airflow", "apache-airflow", "dag-factory", "gaiaflow"}
# What the original's framework also needed: left out only if the original generated it.
ORIGINAL = FRAMEWORK | {"asyncpg", "psycopg2", "psycopg2-binary"}

# Fields of [project] whose entries are merged one by one.
TABLES = ("urls", "scripts", "gui-scripts", "entry-points", "optional-dependencies")


@dataclass
class Declared:
    """What one file declares. The notes name what has no place in pyproject.toml."""

    source: str
    project: dict[str, Any] = field(default_factory=dict)  # [project] without its dependencies
    dependencies: list[str] = field(default_factory=list)
    groups: dict[str, list[Any]] = field(default_factory=dict)  # [dependency-groups]
    tools: dict[str, Any] = field(default_factory=dict)  # tables of [tool]
    build: dict[str, Any] = field(default_factory=dict)  # [build-system], if it can stay
    notes: list[str] = field(default_factory=list)

    def entry_points(self, groups: Mapping[str, Mapping[str, str]]) -> None:
        """Add entry points by group; pyproject.toml has separate tables for scripts."""
        own = {"console_scripts": "scripts", "gui_scripts": "gui-scripts"}
        for group, points in groups.items():
            if group in own:
                self.project.setdefault(own[group], {}).update(points)
            else:
                table = self.project.setdefault("entry-points", {})
                table.setdefault(group, {}).update(points)


@dataclass(frozen=True)
class Merged:
    """A merged file, and notes for the user."""

    text: str
    notes: list[str]


def requirement_name(requirement: str) -> str:
    """The package name in a pip or conda requirement."""
    try:
        return canonicalize_name(Requirement(requirement).name)
    except InvalidRequirement:
        text = requirement.strip().rpartition("::")[2]  # conda's may start with a channel
        return canonicalize_name(re.split(r"[\s=<>!~\[;@]", text, maxsplit=1)[0])


def is_requirement(text: object) -> bool:
    """Whether a value is a requirement that pyproject.toml can contain."""
    try:
        Requirement(str(text))
    except InvalidRequirement:
        return False
    return isinstance(text, str)


def is_framework(name: str) -> bool:
    """Whether a package belongs in Airflow's environment, which the framework creates."""
    return name in FRAMEWORK or name.startswith("apache-airflow-")


def person(text: str) -> dict[str, str]:
    """Parse an author such as `A Name <mail@example.org>`."""
    found = re.fullmatch(r"\s*(.*?)\s*<([^<>]+)>\s*", text)
    if found:
        return {
            key: each for key, each in zip(("name", "email"), found.groups(), strict=True) if each
        }
    return {"name": text.strip()}


def people(names: str, emails: str) -> list[dict[str, str]]:
    """Parse setuptools' authors: names and addresses, each separated by commas."""
    listed = [[part.strip() for part in text.split(",")] for text in (names, emails) if text]
    if len({len(each) for each in listed}) > 1:
        return [{"name": names}, *({"email": each} for each in listed[1])]
    keys = [key for key, text in (("name", names), ("email", emails)) if text]
    return [
        {key: each for key, each in zip(keys, entry, strict=True) if each}
        for entry in zip(*listed, strict=True)
    ]


def words(value: str | Iterable[str]) -> list[str]:
    """Parse keywords: a list, or a text separated by commas or spaces."""
    if not isinstance(value, str):
        return [str(each) for each in value]
    return [each for each in re.split(r"\s*,\s*|\n" if "," in value else r"\s+", value) if each]


def with_marker(requirement: str, marker: str) -> str:
    """Restrict a requirement to the environments of a marker."""
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
    """The values of nested tables that differ from another table's."""
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
