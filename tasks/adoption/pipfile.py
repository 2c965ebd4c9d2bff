"""Pipfile: packages as pipenv declares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError

from tasks.adoption import poetry
from tasks.adoption.declared import Declared, leaves


def read(text: str) -> Declared:
    """What the file declares; development packages become the group `dev`."""
    made = Declared("Pipfile")
    try:
        tables: dict[str, Any] = tomlkit.parse(text).unwrap()
    except ParseError as error:
        made.notes.append(f"can't be read: {error}")
        return made
    made.dependencies = _lines(made, tables.pop("packages", {}))
    if developing := tables.pop("dev-packages", {}):
        made.groups["dev"] = _lines(made, developing)
    requires = tables.pop("requires", {})
    if version := requires.pop("python_full_version", None) or requires.pop("python_version", None):
        made.project["requires-python"] = f"~={version}.0" if version.count(".") == 1 else version
    made.notes += [
        f"{'.'.join(path)} = {value!r} was not carried over"
        for path, value in leaves({**tables, **({"requires": requires} if requires else {})})
    ]
    return made


def _lines(made: Declared, packages: Mapping[str, Any]) -> list[str]:
    """Requirements; an entry is nearly the same as Poetry's."""
    wanted = {}
    for name, value in packages.items():
        entry = {"version": value} if isinstance(value, str) else dict(value)
        for old, new in (("ref", "rev"), ("editable", "develop"), ("file", "url")):
            if old in entry:
                entry[new] = entry.pop(old)
        if entry.get("path") in (".", "./"):
            continue  # the project itself
        markers = [f"{key} {entry.pop(key)}" for key in _MARKERS & set(entry)]
        if markers:
            entry["markers"] = " and ".join([*markers, *filter(None, [entry.get("markers")])])
        wanted[name] = entry
    return poetry.requirements(made, wanted)


_MARKERS = {"sys_platform", "python_version", "os_name", "platform_machine", "platform_system"}
