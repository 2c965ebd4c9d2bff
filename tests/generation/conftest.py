"""Copier as a command, as people run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Copier = Callable[..., "subprocess.CompletedProcess[str]"]
Git = Callable[..., str]


@pytest.fixture(scope="session")
def quiet_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The process environment, without what a person's Copier settings or terminal would add."""
    settings = tmp_path_factory.mktemp("settings") / "settings.yml"
    settings.write_text("{}\n")
    ours = {"COPIER_SETTINGS_PATH": str(settings), "NO_COLOR": "1", "TERM": "dumb"}
    return {**os.environ, **ours, "PYTHONDONTWRITEBYTECODE": "1"}  # tests compare all files


@pytest.fixture
def copier_command(tmp_path: Path, quiet_environment: dict[str, str]) -> Copier:
    """Run `copier ARGUMENTS` in tmp_path, without a terminal; never raises."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "copier", *map(str, arguments)],
            cwd=tmp_path,
            env=quiet_environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def git() -> Git:
    """Run `git -C FOLDER ARGUMENTS` and return what it prints."""

    def run(folder: Path, *arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return run


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, except git's own: relative path -> content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }
