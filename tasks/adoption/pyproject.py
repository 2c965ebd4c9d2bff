"""Read what a project declares in pyproject.toml, whatever builds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError

from tasks.adoption import poetry
from tasks.adoption.declared import Declared, differing, leaves
from tasks.adoption.setuptools import File, version_in

HATCH = "hatchling.build"
# Tables that have their own reader, or that only say how the package is built.
_BUILD = {
    "setuptools": "setuptools",
    "setuptools_scm": "setuptools-scm",
    "flit": "flit",
    "pdm": "PDM's backend",
    "maturin": "maturin",
    "scikit-build": "scikit-build",
    "poetry-dynamic-versioning": "Poetry",
    "versioneer": "versioneer",
}


def parse(text: str) -> dict[str, Any]:
    """A TOML file; empty if it can't be read."""
    try:
        return tomlkit.parse(text).unwrap()
    except ParseError:
        return {}


def read(text: str, base: str = "", file: File = lambda path: None) -> list[Declared]:
    """What pyproject.toml declares: [project] and tools, then [tool.poetry].

    Args:
        text: the project's.
        base: as the original rendered it, or empty; what still matches is not the user's.
        file: returns the text of another file.
    """
    made = Declared("pyproject.toml")
    try:
        document = tomlkit.parse(text)
    except ParseError as error:
        made.notes.append(f"can't be read, so nothing was carried over: {error}")
        return [made]
    whole: dict[str, Any] = document.unwrap()
    ours = differing(whole, parse(base))
    # What the user must keep even if it is as generated.
    kept = {
        key: whole["project"][key] for key in ("name", "version") if key in whole.get("project", {})
    }
    made.project = {**ours.pop("project", {}), **kept}
    made.project.pop("dependencies", None)
    made.dependencies = list(whole.get("project", {}).get("dependencies", []))
    made.groups = ours.pop("dependency-groups", {})
    tools: dict[str, Any] = ours.pop("tool", {})
    build = ours.pop("build-system", {})
    _build(made, build, tools, file)
    found = [made]
    if "poetry" in tools:
        found.append(poetry.read(tools.pop("poetry")))
    for name in ("pdm", "uv"):
        developing = tools.get(name, {}).get("dev-dependencies")
        if developing:
            tools[name] = {k: v for k, v in tools[name].items() if k != "dev-dependencies"}
            groups = developing if isinstance(developing, Mapping) else {"dev": developing}
            for group, lines in groups.items():
                made.groups.setdefault(group, [])
                made.groups[group] = [*made.groups[group], *lines]
    tools.pop("gaiaflow", None)
    made.tools = {name: _of(document, name, tools[name]) for name in tools}
    made.notes += [
        f"[{name}] was not carried over: pyproject.toml has no such table" for name in ours
    ]
    return found


def _of(document: Any, name: str, wanted: Any) -> Any:
    """A table as written, with its comments, if all of it is wanted."""
    table = document["tool"][name]
    return table if hasattr(table, "unwrap") and table.unwrap() == wanted else wanted


def _build(made: Declared, build: Mapping[str, Any], tools: dict[str, Any], file: File) -> None:
    """Keep hatchling's build settings; note those of other tools, which are obsolete."""
    if build.get("build-backend") == HATCH:
        made.build = dict(build)
    else:
        for key, value in leaves(build):
            made.notes.append(f"[build-system] {'.'.join(key)} = {value}: hatchling now builds it")
        _version(made, tools, file)
    for name, who in _BUILD.items():
        if name == "pdm" and not {"build", "version"} & set(tools.get("pdm", {})):
            continue
        if name in tools and (build.get("build-backend") != HATCH or name != "setuptools_scm"):
            for path, value in leaves(tools.pop(name)):
                made.notes.append(
                    f"[tool.{name}] {'.'.join(path)} = {value!r}: {who} no longer builds it"
                )


def _version(made: Declared, tools: Mapping[str, Any], file: File) -> None:
    """Replace computed fields with their current values, where they can be read."""
    said = tools.get("setuptools", {}).get("dynamic", {})
    for name in made.project.pop("dynamic", []):
        source = said.get(name, {})
        where = source.get("attr") or source.get("file")
        value = None
        if "attr" in source and (found := version_in(source["attr"], file)):
            value = found[1]
        elif isinstance(where, str) and name in ("version", "description", "readme"):
            text = file(where)
            value = (where if name == "readme" else text.strip()) if text is not None else None
        if value:
            made.project[name] = value
            made.notes.append(
                f"{name} was computed from {where}; it is now {value!r} in pyproject.toml"
            )
        elif name == "readme" and isinstance(where, list) and where:
            made.project[name] = where[0]
            made.notes.append(f"readme was assembled from {', '.join(where)}")
        elif name not in ("dependencies", "optional-dependencies"):
            made.notes.append(
                f"{name} is dynamic, from {where or 'elsewhere'}: add it to pyproject.toml"
            )
        else:
            made.notes.append(
                f"{name} is dynamic, from {where or 'another file'}: check that nothing is missing"
            )
