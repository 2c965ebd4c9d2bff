"""Make faults, and look at what doctor finds."""

from __future__ import annotations

import grp  # noqa: F401 (a check imports it, and nobody may not read where it is)
import os
import pickle
import pwd  # noqa: F401
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gaiaflow.doctor import OK, Finding, Subject, examine

Check = Callable[[Subject], Finding | None]

NOBODY = 65534
OPEN = "/var/tmp"  # other users reach it; TMPDIR may be a private folder

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make this fault")


def look(
    root: Path,
    check: Check,
    environ: Mapping[str, str] | None = None,
    top: Path = Path("/"),
    limit: float = 20.0,
) -> Finding | None:
    """What one check finds in a project. Whatever is not green must come with a fix to paste."""
    finding = check(examine(root, environ, top, limit))
    if finding and finding.level != OK:
        assert finding.fix, finding
        pasted = subprocess.run(["bash", "-n"], input=finding.fix, text=True, check=False)
        assert pasted.returncode == 0, finding.fix
        assert "chmod 666" not in finding.fix and "chmod 777" not in finding.fix
    return finding


def seen(finding: Finding | None) -> Finding:
    """A finding that must be there."""
    assert finding is not None
    return finding


def run_fix(finding: Finding, environ: Mapping[str, str], cwd: Path) -> None:
    """Do what the fix says, as the user would: paste it into a shell."""
    pasted = ["bash", "-e", "-c", finding.fix]
    subprocess.run(pasted, env=dict(environ), cwd=cwd, check=True, capture_output=True)


def only(folder: Path, *programs: str) -> dict[str, str]:
    """The environment variables of a user whose PATH has these programs and no others."""
    places = folder / "only"
    places.mkdir(exist_ok=True)
    for name in programs:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not on this machine")
        (places / name).symlink_to(found)
    return {**os.environ, "PATH": str(places), "HOME": str(places)}


def lone_python(folder: Path) -> str:
    """A Python without packages (call it with -S), beside which no other program lies: no uv."""
    link = folder / "alone" / "python"
    if not link.exists():
        link.parent.mkdir()
        link.symlink_to(getattr(sys, "_base_executable", sys.executable))
    return str(link)


def manage(
    root: Path, environ: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Call the manager with a Python that has no packages at all."""
    command = [lone_python(root.parent), "-S", str(root / "mlops_manager.py"), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def script(path: Path, text: str) -> Path:
    """A small program that says what a real one in that state would say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@contextmanager
def listening() -> Iterator[Path]:
    """A socket of this user's at which somebody listens, and never says a word."""
    with TemporaryDirectory(dir=OPEN) as folder, socket.socket(socket.AF_UNIX) as server:
        Path(folder).chmod(0o755)  # unlike pytest's folders, whose paths are also too long
        path = Path(folder) / "docker.sock"
        server.bind(str(path))
        path.chmod(0o600)
        server.listen()
        yield path


def as_nobody(root: Path, check: Check, environ: Mapping[str, str] | None = None) -> Finding | None:
    """What a check finds for a user who is not root. A fork: nobody may not read our Python."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            result: object = look(root, check, environ)
        except BaseException as error:
            result = repr(error)
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(result, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        result = pickle.load(pipe)
    os.waitpid(pid, 0)
    assert result is None or isinstance(result, Finding), result
    return result
