"""The template's own files, into which adoption merges what a project declares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.adopt import REPOSITORY, render

Template = Callable[[str, str], str]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A file as the template renders it for an environment manager."""
    rendered: dict[str, Path] = {}

    def file(name: str, manager: str = "uv") -> str:
        if manager not in rendered:
            answers: dict[str, Any] = {
                "project_name": "Lakes",
                "package_name": "lakes",
                "environment_manager": manager,
                "license": "other",
                "show_examples": False,
            }
            folder = tmp_path_factory.mktemp("rendered") / manager
            rendered[manager] = render(str(REPOSITORY), answers, folder)
        return (rendered[manager] / name).read_text(encoding="utf-8")

    return file
