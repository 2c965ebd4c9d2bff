"""uv is found where it was, also by a Python that it does not lie beside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gaiaflow import environments

from .doctor import manage, only, script


def find(root: Path, environ: dict[str, str], code: str = "print(find_uv())") -> str:
    """What a Python without packages finds, or what it says."""
    python = str(getattr(sys, "_base_executable", sys.executable))
    program = f"from gaiaflow.environments import *; from pathlib import Path; {code}"
    done = subprocess.run(
        [python, "-S", "-B", "-c", program],
        cwd=root,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout or done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize("folder", [".gaiaflow/bin", ".local/bin", ".cargo/bin"])
def test_beside_the_usual_places(bare_project: Path, tmp_path: Path, folder: str) -> None:
    """The first of them is where the first command of README puts it."""
    environ = only(tmp_path)
    assert "uv was not found" in find(bare_project, environ)
    uv = script(Path(environ["HOME"], folder, "uv"), "")
    assert find(bare_project, environ) == str(uv)
    done = manage(bare_project, environ, "doctor", "--json")
    assert str(uv) in done.stdout  # and doctor has nothing against it


def test_where_it_was(bare_project: Path, tmp_path: Path) -> None:
    environ = only(tmp_path)
    uv = script(tmp_path / "any where" / "uv", "")
    there = {**environ, "PATH": str(uv.parent)}
    find(bare_project, there, f"remember_uv(Path({str(bare_project)!r})); print(1)")
    assert find(bare_project, environ) == str(uv)
    uv.unlink()
    assert "uv was not found" in find(bare_project, environ)


def test_airflows_environment_has_one(bare_project: Path, tmp_path: Path) -> None:
    """Else a new lock could not be put into it."""
    uv = script(environments.airflow_python(bare_project).with_name("uv"), "")
    assert find(bare_project, only(tmp_path)) == str(uv)


def test_where_there_is_none_nothing_is_remembered(bare_project: Path, tmp_path: Path) -> None:
    code = f"remember_uv(Path({str(bare_project)!r})); print(2)"
    assert find(bare_project, only(tmp_path), code) == "2"
    assert not (bare_project / ".gaiaflow").exists()
