"""A project in miniature with an environment of its own, and its server of warm tasks."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import psutil

from gaiaflow import warm
from gaiaflow.warm import wire

from .conftest import IDENTITY, TEMPLATE

Found = TypeVar("Found")


def make_project(root: Path, files: Mapping[str, str], packages: Mapping[str, str]) -> Path:
    """Make a project of these files, with these modules installed in its environment."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TEMPLATE / "gaiaflow", root / "gaiaflow", ignore=ignored)
    (root / "pyproject.toml").write_text(IDENTITY, encoding="utf-8")
    venv.create(root / ".venv", symlinks=True)
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for name, text in packages.items():
        (site(root) / f"{name}.py").write_text(text, encoding="utf-8")
    return root


def python(root: Path) -> str:
    """The project's interpreter."""
    return str(root / ".venv" / "bin" / "python")


def site(root: Path) -> Path:
    """The folder for installed packages."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return root / ".venv" / "lib" / version / "site-packages"


def server(root: Path) -> psutil.Process | None:
    """The running server that new tasks are sent to."""
    try:
        with wire.connect(root) as connection:
            return psutil.Process(wire.peer(connection)[0])
    except (OSError, psutil.NoSuchProcess):
        return None


@contextlib.contextmanager
def serving(root: Path, env: Mapping[str, str]) -> Iterator[psutil.Process]:
    """Start the server as a first task would; end it and its tasks afterwards."""
    warm.launch(python(root), root, env)
    process = until(lambda: server(root))
    try:
        yield process
    finally:
        end(root)


def servers(root: Path) -> list[psutil.Process]:
    """The processes that are servers of a project, or their tasks."""
    return [
        process
        for process in psutil.process_iter(["cwd", "cmdline"])
        if process.info["cwd"] == str(root) and "gaiaflow.warm" in (process.info["cmdline"] or [])
    ]


def end(root: Path) -> None:
    """End the servers of a project, and their tasks."""
    for process in servers(root):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def until(found: Callable[[], Found | None], limit: float = 120) -> Found:
    """Wait for something; what it is, or a failed test."""
    deadline = time.monotonic() + limit
    while not (value := found()):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.02)
    return value
