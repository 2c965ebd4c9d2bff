"""A project on another machine: no uv, no network, no space, nothing running."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Project, execute, free_block


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """A Python that has no uv beside it."""
    folder = tmp_path / "bare"
    made = execute(sys.executable, "-m", "venv", "--without-pip", folder, cwd=tmp_path)
    assert made.code == 0, made
    return folder / "bin" / "python"


def test_without_uv(clone: Project, bare_python: Path) -> None:
    done = clone.manage("start", python=bare_python, PATH="/nowhere")
    assert done.code == 1, done
    assert "uv was not found. Install it (`pip install uv`" in done.err
    assert "Traceback" not in done.err
    assert not (clone.root / ".gaiaflow").exists()


@pytest.mark.slow
def test_without_network_and_then_with(clone: Project, tmp_path: Path) -> None:
    empty = str(tmp_path / "cache")
    done = clone.manage("start", UV_OFFLINE="1", UV_CACHE_DIR=empty)
    assert done.code == 1, done
    assert "Check the network" in done.err
    assert "Traceback" not in done.err
    # The next try begins where this one failed.
    states = clone.status()
    assert {item["state"] for item in states.values()} == {"stopped"}
    assert clone.env_file.exists()

    done = clone.manage("start", "--service", "jupyterlab", UV_OFFLINE="1", UV_CACHE_DIR=empty)
    assert done.code == 1, done
    assert "jupyterlab: it needs environment, which failed" in done.err
    assert "Traceback" not in done.err
    assert clone.manage("stop").code == 0  # the object store needs no environment of the project
    clone.assert_nothing_is_left()

    done = clone.manage("run", "landcover")
    assert done.code == 1, done
    assert "Start it: python3 mlops_manager.py start" in done.err
    done = clone.manage("open", "mlflow")
    assert done.code == 1, done
    assert "Start it: python3 mlops_manager.py start" in done.err
    done = clone.manage("stop")
    assert done.code == 0, done
    assert "Nothing was running." in done.err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own with a few megabytes."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    options = ("-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", folder)
    if os.geteuid() != 0 or execute("mount", *options, cwd=tmp_path).code:
        pytest.skip("only root may mount a small disk")
    yield folder
    execute("umount", "--lazy", folder, cwd=tmp_path)


def fill(folder: Path) -> None:
    """Leave not a byte."""
    for size in (65536, 4096, 1):
        file = (folder / f"filler {size}").open("wb", buffering=0)
        try:
            while True:
                file.write(b"x" * size)
        except OSError:
            file.close()


def test_with_a_full_disk(stack: Project, small_disk: Path) -> None:
    """The environments lie elsewhere: it is the settings and the services that find no space."""
    project = Project(small_disk / "project")
    cloned = execute("git", "clone", "--quiet", stack.root, project.root, cwd=small_disk)
    assert cloned.code == 0, cloned
    state = project.root / ".gaiaflow"
    state.mkdir()
    for name in ("airflow", "project.stamp"):
        (state / name).symlink_to(stack.root / ".gaiaflow" / name)
    (project.root / ".venv").symlink_to(stack.root / ".venv")
    (project.root / "uv.lock").symlink_to(stack.root / "uv.lock")

    fill(small_disk)
    done = project.manage("status")
    assert done.code == 1, done
    assert "The disk is full" in done.err
    assert "Traceback" not in done.err
    assert not project.env_file.exists()  # none, rather than half of one

    for file in small_disk.glob("filler*"):
        file.unlink()
    assert project.manage("status").code == 0
    project.set_ports(free_block())  # others use the default ones
    before = project.env_file.read_bytes()
    fill(small_disk)
    done = project.manage("start")
    assert done.code == 1, done
    assert "disk is full" in done.err
    assert "free some space and try again" in done.err
    assert "Traceback" not in done.err.partition("More: ")[0].partition("error:")[0]
    assert project.manage("stop").code in {0, 1}
    project.assert_nothing_is_left()
    assert project.env_file.read_bytes() == before
    changed = execute("git", "diff", "--stat", cwd=project.root)
    assert (changed.code, changed.out) == (0, "")
