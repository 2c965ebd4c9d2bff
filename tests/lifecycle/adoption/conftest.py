"""The template's files, into which adoption merges what a project declares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.adopt import REPOSITORY, render

Template = Callable[..., str]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A file as the template renders it for an environment manager and a license."""
    rendered: dict[tuple[str, str], Path] = {}

    def file(name: str, manager: str = "uv", licence: str = "other") -> str:
        if (manager, licence) not in rendered:
            answers: dict[str, Any] = {
                "project_name": "Lakes",
                "package_name": "lakes",
                "environment_manager": manager,
                "license": licence,
                "show_examples": False,
            }
            folder = tmp_path_factory.mktemp("rendered") / manager
            rendered[manager, licence] = render(str(REPOSITORY), answers, folder)
        return (rendered[manager, licence] / name).read_text(encoding="utf-8")

    return file
