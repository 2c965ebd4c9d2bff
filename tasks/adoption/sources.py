"""The files in which a project may declare metadata and dependencies, by priority."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from tasks.adoption import pipfile, pixi, pyproject, requirements, setuptools
from tasks.adoption.declared import Declared

# Files that are no longer read, and stay where they are.
_WITHOUT_USE = {
    "setup.py": "pyproject.toml replaces it; delete it, unless it builds something",
    "Pipfile": "pyproject.toml replaces it; delete it",
    "Pipfile.lock": "its exact versions were not carried over",
    "poetry.lock": "its exact versions were not carried over",
    "pdm.lock": "its exact versions were not carried over",
    "conda-lock.yml": "its exact versions were not carried over",
    "MANIFEST.in": "hatchling reads [tool.hatch.build] instead",
    "constraints*.txt": "only the environment manager's lock file counts",
    "environment[-_.]*.y*ml": "only environment.yml is read",
}
# Files that configure a tool: file -> its section, or empty for the whole file.
_CONFIGURED = {
    "ruff": {"ruff.toml": "", ".ruff.toml": ""},
    "mypy": {"mypy.ini": "", ".mypy.ini": "", "setup.cfg": "mypy"},
    "pytest": {
        "pytest.ini": "",
        ".pytest.ini": "",
        "tox.ini": "pytest",
        "setup.cfg": "tool:pytest",
    },
}


def read(root: Path, base: Mapping[str, bytes] | None = None) -> list[Declared]:
    """What the files at a project's top level declare.

    Args:
        root: the project.
        base: the files as the original generated them; what still matches is not the user's.
    """

    def file(path: str) -> str | None:
        return text_of(root / path)

    found: list[Declared] = []
    if (text := file("pyproject.toml")) is not None:
        old = (base or {}).get("pyproject.toml", b"").decode()
        found += pyproject.read(text, old, file)
    if (text := file("pixi.toml")) is not None:
        found.append(pixi.read(text))
    if (text := file("setup.cfg")) is not None:
        found.append(setuptools.read_cfg(text, file))
    if (text := file("setup.py")) is not None:
        found.append(setuptools.read_setup(text, file))
    if (text := file("Pipfile")) is not None:
        found.append(pipfile.read(text))
    found += requirements.read(requirement_files(root))
    for pattern, why in _WITHOUT_USE.items():
        for path in sorted(root.glob("*")):
            if fnmatch(path.name, pattern) and path.is_file():
                found.append(Declared(path.name, notes=[f"no longer read: {why}"]))
    return found


def of_original(base: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Requirements in pyproject.toml as the original generated it, by extra; "" means no extra."""
    declared = pyproject.parse(base.get("pyproject.toml", b"").decode()).get("project", {})
    return {"": declared.get("dependencies", []), **declared.get("optional-dependencies", {})}


def requirement_files(root: Path) -> dict[str, str]:
    """The requirements files, by path in the project."""
    paths = {path for pattern in requirements.PATTERNS for path in root.glob(pattern)}
    return {path.relative_to(root).as_posix(): text_of(path) or "" for path in sorted(paths)}


def text_of(path: Path) -> str | None:
    """The text of a file, if it exists; bytes that aren't UTF-8 are replaced."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def configured(root: Path) -> dict[str, str]:
    """Tools with their own configuration file: tool -> file."""
    found: dict[str, str] = {}
    for tool, files in _CONFIGURED.items():
        for name, section in files.items():
            text = text_of(root / name)
            if text is not None and (not section or section in _sections(text)):
                found.setdefault(tool, name)
    return found


def _sections(text: str) -> set[str]:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(text)
    except configparser.Error:
        return set(re.findall(r"(?m)^\[([^\]]+)\]", text))
    return set(parser.sections())
