"""pixi.toml and [tool.pixi] in pyproject.toml: both become the latter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packaging.utils import canonicalize_name
from tomlkit import parse
from tomlkit.exceptions import ParseError

from tasks.adoption.declared import Declared, is_framework
from tasks.adoption.versions import overlap, python_fits, specifier

_PACKAGES = ("dependencies", "pypi-dependencies", "host-dependencies", "build-dependencies")


def read(text: str) -> Declared:
    """What a pixi.toml declares, as [tool.pixi]."""
    made = Declared("pixi.toml")
    try:
        made.tools["pixi"] = parse(text).unwrap()
    except ParseError as error:
        made.notes.append(f"can't be read: {error}")
    return made


def merge(
    template: dict[str, Any], project: Mapping[str, Any], name: str, notes: list[str]
) -> None:
    """Merge the project's [tool.pixi] into the template's, which must stay usable; theirs wins.

    Args:
        template: the template's table, which is changed.
        project: the project's table.
        name: the name of the project itself, which is among the template's packages.
        notes: receives notes for the user.
    """
    ours = {**project}
    if "project" in ours:  # the table's old name
        ours["workspace"] = {**ours.pop("project"), **ours.get("workspace", {})}
    environments = ours.pop("environments", {})
    workspace = dict(ours.pop("workspace", {}))
    channels = workspace.pop("channels", [])
    missing = [each for each in template["workspace"]["channels"] if each not in channels]
    template["workspace"]["channels"] = [*channels, *missing]
    template["workspace"].update(workspace)
    for package in pins(ours):  # in one environment a package has one version
        for table in (template["feature"]["dev"]["dependencies"], template["pypi-dependencies"]):
            table.pop(package, None)
    _merge(template, _without_framework(ours, notes), notes, name)
    for each, wanted in environments.items():
        _environment(template["environments"], each, wanted, notes)


def pins(table: Mapping[str, Any]) -> dict[str, str]:
    """The versions in the default environment, by package."""
    packages = {**table.get("pypi-dependencies", {}), **table.get("dependencies", {})}
    return {canonicalize_name(name): _version(wanted) for name, wanted in packages.items()}


def _without_framework(table: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Leave out the framework's packages, which have a separate environment."""
    made: dict[str, Any] = {}
    for key, value in table.items():
        if key in _PACKAGES and isinstance(value, Mapping):
            made[key] = {}
            for package, version in value.items():
                if is_framework(canonicalize_name(package)):
                    notes.append(
                        f"{package} = {version!r}: left out; "
                        "the framework has it in a separate environment"
                    )
                else:
                    made[key][package] = version
        else:
            made[key] = _without_framework(value, notes) if isinstance(value, Mapping) else value
    return made


def _merge(
    template: dict[str, Any], ours: Mapping[str, Any], notes: list[str], name: str, key: str = ""
) -> None:
    for each, value in ours.items():
        if key in _PACKAGES and canonicalize_name(each) == canonicalize_name(name):
            continue  # the project itself is there already
        old = template.get(each)
        inner = isinstance(value, Mapping) and isinstance(old, Mapping)
        if inner and (key not in _PACKAGES):
            _merge(template[each], value, notes, name, each)
        elif key == "dependencies" and each == "python" and not python_fits(_version(value)):
            notes.append(f"python = {value!r}: replaced; Gaiaflow needs {old}")
        elif key not in _PACKAGES:
            template[each] = value
        elif old is None or value != "*":  # any version: the template's is fine
            _leave(template, each)
            if old is not None and not _agree(value, old):
                notes.append(f"{each} = {value!r}: kept, but Gaiaflow was tested with {old}")
            template[each] = value


def _agree(one: Any, other: Any) -> bool:
    first, second = specifier(_version(one)), specifier(_version(other))
    return first is not None and second is not None and overlap(first, second)


def _leave(template: dict[str, Any], package: str) -> None:
    """Drop other spellings of a package's name: one package, one line."""
    for other in [
        each for each in template if canonicalize_name(each) == canonicalize_name(package)
    ]:
        if other != package:
            del template[other]


def _version(wanted: Any) -> str:
    return str(wanted.get("version", "*") if isinstance(wanted, Mapping) else wanted)


def _environment(table: dict[str, Any], name: str, wanted: Any, notes: list[str]) -> None:
    """Add an environment; those that the framework uses keep their features."""
    theirs = {"features": wanted} if isinstance(wanted, list) else dict(wanted)
    if name in table:
        known = list(table[name]["features"])
        added = [each for each in theirs.get("features", []) if each not in known]
        table[name]["features"] = [*known, *added]
        theirs.pop("features", None)
        for key, value in theirs.items():
            if table[name].get(key) != value:
                notes.append(f"environments.{name}.{key} = {value!r} was not carried over")
    else:
        table[name] = wanted
