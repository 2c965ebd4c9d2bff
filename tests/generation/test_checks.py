"""The checks that a generated project promises pass in its own environment.

One environment serves all: dependencies do not depend on the answers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT, Render

PINS = ROOT / "template" / "gaiaflow" / "locks" / "project.txt"
OFFLINE = ("Failed to fetch", "error sending request", "dns error", "Could not connect")

pytestmark = pytest.mark.xdist_group("environment")


def uv_command(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    try:
        from uv import find_uv_bin

        uv: str | Path = find_uv_bin()
    except (ImportError, FileNotFoundError):
        pytest.skip("uv is not installed")
    environment = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    result = subprocess.run(
        [uv, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode and any(sign in result.stderr for sign in OFFLINE):
        pytest.skip("no network, and not all packages are in uv's cache")
    return result


@pytest.fixture(scope="session")
def environment(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with a project's pinned dependencies, the project left out."""
    project = render()
    folder = tmp_path_factory.mktemp("environment") / "venv"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    made = uv_command("venv", "--python", sys.executable, folder, cwd=project)
    assert made.returncode == 0, made.stderr
    install = ("pip", "install", "--python", python, "--constraint", PINS)
    dependencies = ("--requirements", "pyproject.toml", "--group", "dev")
    installed = uv_command(*install, *dependencies, cwd=project)
    assert installed.returncode == 0, installed.stderr
    return python


# With the example it is slow: tests/stack/test_generated.py checks that, in its own environment.
@pytest.fixture(
    params=[
        pytest.param(True, id="example", marks=pytest.mark.slow),
        pytest.param(False, id="skeletons"),
    ]
)
def project(request: pytest.FixtureRequest, render: Render, tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(render(show_examples=request.param), tmp_path / "project", symlinks=True)
    )


def run(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-m", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_types(environment: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = tmp_path_factory.getbasetemp() / "mypy"
    result = run(environment, "mypy", "--cache-dir", str(cache), cwd=project)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "no issues found" in result.stdout


def test_a_type_error_is_found(
    environment: Path, render: Render, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = Path(shutil.copytree(render(show_examples=False), tmp_path / "project"))
    (project / "forest_watch" / "wrong.py").write_text("x: int = 'text'\n")
    cache = tmp_path_factory.getbasetemp() / "mypy"
    result = run(environment, "mypy", "--cache-dir", str(cache), cwd=project)
    assert result.returncode == 1 and "wrong.py:1" in result.stdout


def test_tests(environment: Path, project: Path) -> None:
    result = run(environment, "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_lock_covers_every_dependency(environment: Path, render: Render) -> None:
    listed = uv_command("pip", "freeze", "--python", environment, cwd=render())
    pinned = {line.split(";")[0].strip() for line in PINS.read_text("utf-8").splitlines()}
    assert [line for line in listed.stdout.splitlines() if line not in pinned] == []


def test_uv_add_leaves_pyproject_as_it_is(render: Render, tmp_path: Path) -> None:
    """The framework seeds uv.lock by `uv add --raw` of what is there already."""
    project = Path(shutil.copytree(render(), tmp_path / "project"))
    before = (project / "pyproject.toml").read_bytes()
    requirements = tomllib.loads(before.decode())
    add = ("add", "--raw", "--no-sync", "--python", sys.executable, "--constraints", PINS)
    dependencies = requirements["project"]["dependencies"]
    added = uv_command(*add, *dependencies, cwd=project)
    assert added.returncode == 0, added.stderr
    development = requirements["dependency-groups"]["dev"]
    added = uv_command(*add, "--group", "dev", *development, cwd=project)
    assert added.returncode == 0, added.stderr
    assert (project / "pyproject.toml").read_bytes() == before
    assert (project / "uv.lock").exists()
