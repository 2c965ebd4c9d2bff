"""environment.yml: packages from conda and, below `pip:`, from PyPI."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from packaging.version import InvalidVersion

from tasks.adoption.declared import ORIGINAL, Merged, is_framework, requirement_name
from tasks.adoption.versions import python_fits, specifier

_MARK = " # dev"  # marks lines that the project's image leaves out


@dataclass
class Environment:
    """What a file declares."""

    conda: list[str] = field(default_factory=list)
    pip: list[str] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    rest: dict[str, Any] = field(default_factory=dict)  # name, variables, prefix ...
    notes: list[str] = field(default_factory=list)


def read(text: str) -> Environment:
    """Read an environment.yml."""
    made = Environment()
    try:
        parsed = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        parsed = {}
        made.notes.append(f"can't be read: {' '.join(str(error).split())[:200]}")
    if not isinstance(parsed, Mapping):
        return made
    for each in parsed.get("dependencies") or []:
        if isinstance(each, str):
            made.conda.append(each.strip())
        elif isinstance(each, Mapping):
            made.pip += [str(line).strip() for line in each.get("pip") or []]
            made.notes += [
                f"{key}: {each[key]} was not carried over" for key in each if key != "pip"
            ]
    made.channels = [str(each) for each in parsed.get("channels") or []]
    made.rest = {k: v for k, v in parsed.items() if k not in ("dependencies", "channels")}
    return made


def merge(
    new: str, ours: str, base: str, included: Iterable[str] = (), tools: Iterable[str] = ()
) -> Merged:
    """The template's environment.yml with the project's packages; the project's pins win.

    Args:
        new: as the template renders it.
        ours: the project's.
        base: as the original rendered it, or empty.
        included: requirements files whose contents are in pyproject.toml.
        tools: development requirements, which conda doesn't read there.
    """
    template, project, made_by_original = read(new), read(ours), read(base)
    as_made = {*made_by_original.conda, *made_by_original.pip}
    notes = list(project.notes)
    left_out = {f"-r {each}" for each in included}
    pip = [each for each in project.pip if " ".join(each.split()) not in left_out]
    pip = [each for each in pip if each not in ("-e .", ".")]
    lines = new.rstrip("\n").split("\n")
    at = lines.index("  - pip:")
    comment = at - 1 if lines[at - 1].startswith("  #") else at
    head = _merged(lines[:comment], project.conda, as_made, "  - ", notes)
    tail = _merged(lines[at + 1 :], pip, as_made, "      - ", notes)
    known = {requirement_name(line.strip(" -").split(" #")[0]) for line in [*head, *tail]}
    tail = [
        *(f"      - {each}{_MARK}" for each in tools if requirement_name(each) not in known),
        *tail,
    ]
    lines = [*head, *lines[comment : at + 1], *tail]
    for each in (each for each in pip if each.startswith("-")):
        if each not in as_made:
            notes.append(f"{each}: kept, but the project's image includes only environment.yml")
    lines = _channels(lines, template.channels, project.channels, notes)
    for key, value in project.rest.items():
        if value == made_by_original.rest.get(key) or value == template.rest.get(key):
            continue
        if key in ("name", "prefix"):
            notes.append(f"{key}: {value} has no effect: the environment is .conda/")
        else:
            lines += yaml.safe_dump({key: value}, allow_unicode=True).rstrip("\n").split("\n")
    return Merged("\n".join(lines) + "\n", notes)


def _merged(
    lines: list[str], wanted: list[str], as_made: set[str], indent: str, notes: list[str]
) -> list[str]:
    """A part of the file with the wanted packages, each in its place or at the end."""
    place = {
        requirement_name(line.strip(" -").split(" #")[0]): number
        for number, line in enumerate(lines)
        if line.startswith(indent)
    }
    made, added = list(lines), []
    for each in wanted:
        name = requirement_name(each)
        if is_framework(name) or (name in ORIGINAL and each in as_made):
            if each not in as_made:
                notes.append(f"{each}: left out; the framework has it in a separate environment")
            continue
        if each.startswith("-") or name not in place:
            added.append(f"{indent}{each}")
        elif each not in as_made and version_of(each):
            old = lines[place[name]].strip(" -").split(" #")[0]
            if name == "python" and not python_fits(version_of(each)):
                notes.append(f"{each}: replaced; Gaiaflow needs {old}")
            elif not (name == "python" and _contains(each, old)):
                mark = _MARK if lines[place[name]].endswith(_MARK) else ""
                made[place[name]] = f"{indent}{each}{mark}"
                if not _contains(each, old):
                    notes.append(f"{each}: kept, but Gaiaflow was tested with {old}")
            elif each.replace(" ", "") != old:
                notes.append(f"{each}: narrowed to {old}")
    if added and indent == "  - ":
        made.append("  # From before Gaiaflow.")
    if not made or indent == "  - ":
        return made + added
    return added + made


def pins(text: str) -> dict[str, str]:
    """The versions that an environment.yml requires, by package."""
    found = read(text)
    return {
        requirement_name(each): version_of(each)
        for each in [*found.conda, *found.pip]
        if not each.startswith("-") and version_of(each)
    }


def version_of(spec: str) -> str:
    """The parts of a conda or pip spec besides the name: version, build, extras."""
    text = spec.strip().rpartition("::")[2]
    found = re.match(r"[\w.-]+", text)
    return text[found.end() :].strip() if found else ""


def _contains(spec: str, pin: str) -> bool:
    found = specifier(version_of(spec))
    try:
        return found is not None and found.contains(version_of(pin).lstrip("="), prereleases=True)
    except InvalidVersion:
        return False


def _channels(
    lines: list[str], template: list[str], project: list[str], notes: list[str]
) -> list[str]:
    """The project's channels in order, then those of the template that are missing."""
    if "defaults" in project:
        notes.append("the channel defaults was left out: it is not free for everyone")
    ours = [each for each in project if each not in ("defaults", "nodefaults")]
    wanted = [*ours, *(each for each in template if each not in ours)]
    start = lines.index("channels:") + 1
    return [*lines[:start], *(f"  - {each}" for each in wanted), *lines[start + len(template) :]]


def unread(text: str, pyproject: Callable[[str], list[str]]) -> list[str]:
    """Packages of an unread environment.yml that pyproject.toml lacks, or has in other versions.

    Args:
        text: the environment.yml.
        pyproject: returns the requirements for a name in pyproject.toml.
    """
    found = read(text)
    missing = []
    for each in [*found.conda, *found.pip]:
        name = requirement_name(each)
        if name in ("python", "pip") and not version_of(each):
            continue
        if is_framework(name) or each in ("-e .", "."):
            continue
        known = pyproject(name)
        if not known or (version_of(each) and each not in known):
            missing.append(" ".join(each.split()))
    return missing
