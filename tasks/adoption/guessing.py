"""Guess answers to the template's questions from a repository."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tasks.adoption import licences, original
from tasks.adoption.declared import Declared
from tasks.adoption.layout import Layout
from tasks.adoption.project import combined


def answers(root: Path, found: Iterable[Declared], layout: Layout) -> dict[str, Any]:
    """The answers that can be guessed; the template's defaults cover the rest."""
    whole = combined(found)
    project = whole.project
    author: Mapping[str, Any] = next(
        (each for each in project.get("authors", []) if isinstance(each, Mapping)), {}
    )
    name = original.folder_name(root) if original.looks_original(root) else project.get("name")
    title = str(name or root.name).replace("_", " ").replace("-", " ").title()
    readme = root / "README.md"
    heading = (
        re.search(r"(?m)^#[ \n]+(\w.*)$", readme.read_text(encoding="utf-8", errors="replace"))
        if readme.is_file()
        else None
    )
    guessed = {
        "project_name": heading[1].strip() if heading else title,
        "project_description": " ".join(str(project.get("description", "")).split()),
        "author_name": str(author.get("name", "")),
        "author_email": str(author.get("email", "")),
        "package_name": layout.package,
        "show_examples": False,
        "environment_manager": environment_manager(root, whole),
        "license": licences.answer(root, project),
        "setup": "none",
    }
    return {name: value for name, value in guessed.items() if value != ""}


def environment_manager(root: Path, whole: Declared) -> str:
    """The environment manager that the repository uses; uv if none."""
    if "pixi" in whole.tools:
        return "pixi"
    conda = any((root / name).exists() for name in ("environment.yml", "environment.yaml"))
    return "conda" if conda and not (root / "uv.lock").exists() else "uv"
