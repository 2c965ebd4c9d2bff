"""The CI files, a project's and ours, satisfy the linters of their kind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, Render

YAMLLINT = """
extends: default
rules:
  document-start: disable
  truthy: {check-keys: false}
  line-length: {max: 100}
  comments: {min-spaces-from-content: 1}
"""
# Actions are pinned to a major version: a project of this kind rather gets fixes than hashes.
ZIZMOR = """
rules:
  unpinned-uses: {config: {policies: {"*": ref-pin}}}
"""


OURS = sorted(path.name for path in (ROOT / ".github" / "workflows").glob("*.yml"))

# The jobs that may write, and what.
WRITES = {
    ("ci.yml", "release"): {"contents": "write"},
    ("docs.yml", "publish"): {"contents": "write"},
    ("locks.yml", "locks"): {"contents": "write", "pull-requests": "write"},
    ("update.yml", "update"): {"contents": "write", "pull-requests": "write"},
}


@pytest.fixture(params=[*OURS, "uv", "pixi", "conda", "update"])
def workflow(request: pytest.FixtureRequest, render: Render) -> Path:
    """A workflow of this repository, or of a project."""
    if request.param in OURS:
        return ROOT / ".github" / "workflows" / str(request.param)
    if request.param == "update":  # the same for all
        return render() / ".github" / "workflows" / "update.yml"
    return render(environment_manager=request.param) / ".github" / "workflows" / "ci.yml"


def program(name: str) -> str:
    """Find a program beside this Python, or anywhere."""
    found = shutil.which(name, path=Path(sys.executable).parent) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def lint(*command: str | Path, cwd: Path) -> None:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_yamllint(workflow: Path, tmp_path: Path) -> None:
    lint(sys.executable, "-m", "yamllint", "-s", "-d", YAMLLINT, workflow, cwd=tmp_path)


@pytest.mark.parametrize("name", ["copier.yml", "environment.yml"])
def test_yamllint_of_the_other_files(name: str, render: Render, tmp_path: Path) -> None:
    path = ROOT / name if name == "copier.yml" else render(environment_manager="conda") / name
    lint(sys.executable, "-m", "yamllint", "-s", "-d", YAMLLINT, path, cwd=tmp_path)


def test_zizmor(workflow: Path, tmp_path: Path) -> None:
    """Security: permissions, credentials, script injection."""
    (tmp_path / "zizmor.yml").write_text(ZIZMOR)
    zizmor = [program("zizmor"), "--offline", "--persona=pedantic", "--quiet"]
    lint(*zizmor, "--config", tmp_path / "zizmor.yml", workflow, cwd=tmp_path)


def test_actionlint(workflow: Path, tmp_path: Path) -> None:
    lint(program("actionlint"), workflow, cwd=tmp_path)


def test_permissions_and_a_time_limit(workflow: Path) -> None:
    loaded = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert loaded["permissions"] in ({}, {"contents": "read"})
    for name, job in loaded["jobs"].items():
        assert job.get("permissions", {}) == WRITES.get((workflow.name, name), {})
        assert job["timeout-minutes"] <= 60


def test_a_projects_ci_runs_every_check(render: Render) -> None:
    for manager in ("uv", "pixi", "conda"):
        project = render(environment_manager=manager)
        text = (project / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
        if manager == "pixi":  # its tasks name the commands
            text += (project / "pyproject.toml").read_text(encoding="utf-8")
        for command in ("ruff check", "ruff format --check", "mypy", "pytest"):
            assert command in text, f"{manager}: {command}"
