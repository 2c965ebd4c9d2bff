"""The commands in a project in which nothing runs."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from .commands import command, manage
from .doctor import lone_python


def answer(root: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """The same, by a person at a terminal who types something."""
    line, environ = command(root, *arguments)
    ours, theirs = pty.openpty()
    os.write(ours, text.encode())
    done = subprocess.run(line, env=environ, stdin=theirs, capture_output=True, check=False)
    os.close(ours)
    os.close(theirs)
    return done


@pytest.fixture
def data(bare_project: Path) -> Path:
    """Something to lose."""
    folder = bare_project / ".gaiaflow" / "data"
    folder.mkdir(parents=True)
    (folder / "mlflow.db").touch()
    (bare_project / ".gaiaflow" / "logs").mkdir()
    return folder


@pytest.mark.parametrize("text", ["n\n", "\n", "maybe\n", "\x04"])
def test_data_stay_unless_a_person_says_yes(bare_project: Path, data: Path, text: str) -> None:
    done = answer(bare_project, text, "clean", "--data")
    assert (done.returncode, b"for good? [y/N]" in done.stderr) == (1, True)
    assert b"Nothing was removed." in done.stderr
    assert data.exists() and data.with_name("logs").exists()


@pytest.mark.parametrize("text", ["y\n", "Yes\n"])
def test_a_person_says_yes(bare_project: Path, data: Path, text: str) -> None:
    done = answer(bare_project, text, "clean", "--data")
    assert done.returncode == 0, done
    assert not data.exists()


def test_where_nobody_can_be_asked_data_stay(bare_project: Path, data: Path) -> None:
    done = manage(bare_project, "clean", "--data")
    assert (done.returncode, "add --yes" in done.stderr) == (2, True)
    assert data.exists() and data.with_name("logs").exists()
    assert manage(bare_project, "clean").returncode == 0
    assert data.exists()
    done = manage(bare_project, "clean", "--data", "--yes")
    assert done.returncode == 0, done
    assert not data.exists()


def test_in_a_container_no_command_runs(bare_project: Path, tmp_path: Path) -> None:
    """JupyterLab has terminals there, too, and neither the settings nor an engine."""
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path), "GAIAFLOW_CONNECTED": "yes"}
    line = [sys.executable, "-B", str(bare_project / "mlops_manager.py"), "stop"]
    done = subprocess.run(line, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "in a terminal on the computer itself" in done.stderr
    assert not (bare_project / ".gaiaflow").exists()


def test_another_way_to_call_it(bare_project: Path, tmp_path: Path) -> None:
    """It goes on in Airflow's environment in the same way, here as far as its making."""
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    said = []
    for call in (["-m", "gaiaflow"], ["mlops_manager.py"]):
        line = [lone_python(tmp_path), "-S", "-B", *call, "status"]
        done = subprocess.run(
            line, cwd=bare_project, env=environ, capture_output=True, text=True, check=False
        )
        said.append((done.returncode, done.stderr))
    assert said[0] == said[1] and "uv was not found" in said[0][1]
