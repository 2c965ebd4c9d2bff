"""Which modules the server imports: those that the project's code needs, found by looking.

At first these are the modules that its files import. Then the tasks report what else they needed,
such as what a library imports at its first use. Only installed packages count: the project's own
code may change at any time.

Standard library only.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import json
import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gaiaflow.project import envfile, imports
from gaiaflow.project.identity import read_identity

_PACKAGES = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
_INSTALLED = _PACKAGES | {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
_THREADS = Path("/proc/self/task")
# Threads that survive a fork, because their library looks after them: jemalloc's, in pyarrow.
_SAFE = {"jemalloc_bg_thd"}


def stamp() -> list[list[str]]:
    """What changes when packages are installed, updated or removed."""
    folders = [*sorted(_PACKAGES), str(Path(sys.prefix, "conda-meta"))]
    return [_records(path, path.stat().st_mtime_ns) for path in map(Path, folders) if path.exists()]


@functools.cache
def _records(folder: Path, changed: int) -> list[str]:
    """The records that installers keep in a folder, as long as it hasn't changed."""
    kinds = {".dist-info", ".egg-info", ".pth", ".json"}
    found = [path for path in folder.iterdir() if path.suffix in kinds]
    return sorted(f"{path.name} {path.stat().st_mtime_ns}" for path in found)


class Modules:
    """The modules of a project's server.

    record: the file that remembers what tasks have reported, and what is left out and why.
    """

    def __init__(self, root: Path, record: Path) -> None:
        self._root = root
        self._record = record
        found = _read(record)
        self._reported: list[str] = found.get("modules", [])
        self._left_out: dict[str, str] = {}
        if found.get("stamp") == stamp():
            self._left_out = found["left_out"]

    def load(self) -> None:
        """Import what the project's files import, and what tasks have reported before."""
        for name in [*imported(self._root), *self._reported]:
            self._import(name)

    def learn(self, names: Iterable[str]) -> None:
        """Import what a task has reported."""
        new = [name for name in names if self._import(name)]
        if new:
            self._reported += new
            self._write()

    def _import(self, name: str) -> bool:
        """Import a module unless it is there; whether that was needed and worked."""
        package = name.partition(".")[0]
        if name in sys.modules or package in self._left_out or not _is_installed(package):
            return False
        threads = _count_threads()
        try:
            importlib.import_module(name)
        except (Exception, SystemExit):  # such as an optional dependency: the task will tell
            return False
        if _count_threads() > threads and (running := _threads_after_fork()):
            self._left_out[package] = f"it starts threads: {', '.join(running)}"
            self._write()
            os.execv(sys.executable, sys.orig_argv)  # begin again, without this package
        return True

    def _write(self) -> None:
        found = {"stamp": stamp(), "modules": self._reported, "left_out": self._left_out}
        with contextlib.suppress(OSError):
            envfile.write(self._record, json.dumps(found))


def left_out(record: Path) -> dict[str, str]:
    """The packages that the server doesn't import, and why."""
    found: dict[str, str] = _read(record).get("left_out", {})
    return found


def imported(root: Path) -> list[str]:
    """The modules that the project's files import, with those parts of the framework they use."""
    package = read_identity(root).package
    folders = (root / package, root / "src" / package)
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    return imports.closure(root, files)[1]


def _read(record: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _is_installed(package: str) -> bool:
    """Whether a top-level module is installed, and not a file of the project."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return False
    if spec is None:
        return False
    places = map(Path, spec.submodule_search_locations or [spec.origin or ""])
    return all(any(map(place.is_relative_to, _INSTALLED)) for place in places)


def _count_threads() -> int:
    return sum(1 for _ in _THREADS.iterdir())


def _threads_after_fork() -> list[str]:
    """The names of the threads that a fork would lack, and what they hold would stay locked.

    OpenBLAS ends its threads before a fork, and starts them again when it needs them.
    """
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    others = [thread for thread in _THREADS.iterdir() if thread.name != str(os.getpid())]
    return sorted({thread.joinpath("comm").read_text().strip() for thread in others} - _SAFE)
