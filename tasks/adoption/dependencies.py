"""Merge what a project depends on into files that the template has rendered."""

from __future__ import annotations

import re
import sys
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HEADER = re.compile(r"(?m)^\[\[?([^\]\n]+)\]\]?.*$")

# Of these tables the template's own version holds, or what they say has another place.
REPLACED = (
    "build-system",
    "project",
    "tool.setuptools",
    "tool.gaiaflow",
    "tool.hatch",
    "tool.pixi",
)


# What the original's framework needed, and ours has in an environment of its own.
FRAMEWORK = ("apache-airflow", "dag-factory", "gaiaflow", "psycopg2", "asyncpg")


@dataclass(frozen=True)
class Merged:
    """A merged file, and what a person may want to know."""

    text: str
    notes: list[str]


def parse(text: str) -> dict[str, Any]:
    """A pyproject.toml; empty if it can't be read."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def merge_pyproject(new: str, ours: str, base: str) -> Merged:
    """The template's pyproject.toml with the project's dependencies, scripts and tool tables.

    Args:
        new: as the template renders it.
        ours: the project's.
        base: as the original rendered it, or nothing.
    """
    project = parse(ours).get("project", {})
    before = set(parse(base).get("project", {}).get("dependencies", []))
    text = _with_dependencies(new, project.get("dependencies", []), before)
    notes = []
    if version := project.get("version"):
        text = re.sub(r'(?m)^version = ".*"$', lambda _: f'version = "{version}"', text, count=1)
    blocks = _blocks(ours)
    as_made = {block.strip() for _, block in _blocks(base)}
    known = {name for name, _ in _blocks(text)}
    replaced = [name for name in REPLACED if name != "project"]
    for name, block in blocks:
        extra = name.startswith("project.") and name not in known
        if block.strip() in as_made:
            continue
        if name in known:
            if name.startswith("tool."):
                notes.append(f"[{name}] of your pyproject.toml was not taken over: ours is there")
            continue
        if extra or not any(
            name == each or name.startswith(f"{each}.") for each in (*replaced, "project")
        ):
            text = f"{text.rstrip()}\n\n{block.strip()}\n"
        else:
            notes.append(f"[{name}] of your pyproject.toml was not taken over")
    if not parse(text):
        return Merged(new, ["your pyproject.toml could not be merged: see the saved one"])
    return Merged(text, notes)


def _with_dependencies(text: str, wanted: Sequence[str], base: Container[str]) -> str:
    """Add requirements to `[project] dependencies`; the user's own win over the template's."""
    start = text.index("dependencies = [\n") + len("dependencies = [\n")
    end = text.index("\n]", start)
    lines = {requirement_name(line.strip(" ,'\"")): line for line in text[start:end].split("\n")}
    for requirement in wanted:
        name = requirement_name(requirement)
        if name.startswith(FRAMEWORK) or (requirement in base and name in lines):
            continue
        quote = "'" if '"' in requirement else '"'
        lines[name] = f"    {quote}{requirement}{quote},"
    return text[:start] + "\n".join(lines.values()) + text[end:]


def requirement_name(requirement: str) -> str:
    """The name in a requirement of pip or conda."""
    try:
        return canonicalize_name(Requirement(requirement).name)
    except InvalidRequirement:
        return canonicalize_name(re.split(r"[\s=<>!~\[;]", requirement.strip(), maxsplit=1)[0])


def merge_environment(new: str, ours: str) -> Merged:
    """The template's environment.yml with the conda and pip packages of the project's."""
    lines = new.rstrip("\n").split("\n")
    taken = {requirement_name(line.strip(" -")) for line in lines if line.strip().startswith("- ")}
    conda, pip = _packages(ours)
    at = lines.index("  - pip:")
    add = [f"  - {each}" for each in _new(conda, taken)]
    add_pip = [f"      - {each}" for each in _new(pip, taken)]
    heading = ["  # From before Gaiaflow."] if add else []
    made = [*lines[:at], *heading, *add, lines[at], *add_pip, *lines[at + 1 :]]
    return Merged("\n".join(made) + "\n", [])


def missing_packages(environment: str, pyproject: str) -> list[str]:
    """Packages of an environment.yml that a pyproject.toml does not name."""
    parsed = parse(pyproject)
    groups = parsed.get("dependency-groups", {}).values()
    named = [
        *parsed.get("project", {}).get("dependencies", []),
        *(each for g in groups for each in g),
    ]
    taken = {requirement_name(each) for each in named if isinstance(each, str)}
    conda, pip = _packages(environment)
    return [requirement_name(each) for each in _new([*conda, *pip], taken)]


def _new(packages: Iterable[str], taken: set[str]) -> list[str]:
    ignored = {*taken, "airflow", "python", "pip"}
    named = [(requirement_name(each), each) for each in packages]
    return [each for name, each in named if name not in ignored and not name.startswith(FRAMEWORK)]


def _packages(text: str) -> tuple[list[str], list[str]]:
    try:
        listed = (yaml.safe_load(text) or {}).get("dependencies") or []
    except yaml.YAMLError:
        return [], []
    conda = [each for each in listed if isinstance(each, str)]
    pip = [each for part in listed if isinstance(part, dict) for each in part.get("pip") or []]
    return conda, pip


def merge_lines(new: str, ours: str) -> str:
    """The project's lines, then those of the template that it lacks, as for .gitignore."""
    lines = ours.splitlines()
    missing = [line for line in new.splitlines() if line.strip() and line not in lines]
    return "\n".join([*lines, "", "# Gaiaflow", *missing]).lstrip("\n") + "\n"


def _blocks(text: str) -> list[tuple[str, str]]:
    """The tables of a TOML file as they are written: name, text."""
    found = list(_HEADER.finditer(text))
    ends = [*(match.start() for match in found), len(text)][1:]
    return [
        (match[1].strip(), text[match.start() : end])
        for match, end in zip(found, ends, strict=True)
    ]
