"""A project's weekly workflow, with its steps as in CI; only GitHub's own program is a double.

The double `gh` records its calls, because GitHub itself is not available here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tasks.rendering import ANSWERS
from tests.lifecycle import synthetic
from tests.lifecycle.conftest import History, commit, git

GH = """#!/bin/sh
echo "$@" >> "$RUNNER_TEMP/calls"
"""


def run_steps(project: Path, folder: Path) -> str:
    """Run the workflow's commands and return the calls of `gh`."""
    workflow = yaml.safe_load((project / ".github" / "workflows" / "update.yml").read_text())
    gh = folder / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(GH)
    gh.chmod(0o755)
    path = f"{gh.parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "RUNNER_TEMP": str(folder), "BRANCH": "gaiaflow-update"}
    for step in workflow["jobs"]["update"]["steps"]:
        if "run" in step:
            # Copier is already installed; fetching it needs GitHub.
            script = step["run"].replace("pipx install uv\n", "")
            script = script.replace('uvx --from "git+$template" ', "")
            source = yaml.safe_load((project / ANSWERS).read_text())["_src_path"]
            script = script.replace(
                "template=https://github.com/bcdev/gaiaflow", f"template={source}"
            )
            done = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", script],
                cwd=project,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    calls = folder / "calls"
    return calls.read_text() if calls.exists() else ""


@pytest.fixture
def checkout(history: History, tmp_path: Path) -> Path:
    """A clone without `.env`, as CI checks it out."""
    project = history.generate(synthetic.OLD, tmp_path / "project")
    changed = project / "gaiaflow" / "made_up" / "changed.py"
    changed.write_text(changed.read_text().replace("step_3 = 3", "mine = 3"))
    commit(project, "our work")
    git(tmp_path, "clone", "--quiet", str(project), "checkout")
    return tmp_path / "checkout"


def test_conflicts_are_marked_in_the_pull_request(checkout: Path, tmp_path: Path) -> None:
    base = git(checkout, "rev-parse", "HEAD")
    calls = run_steps(checkout, tmp_path)
    assert "pr create --head gaiaflow-update" in calls and "(with conflicts)" in calls
    assert "CONFLICT" in (tmp_path / "summary.md").read_text()
    origin = tmp_path / "project"
    assert git(origin, "rev-parse", "gaiaflow-update^") == base  # or GitHub couldn't merge it
    pushed = git(origin, "show", "gaiaflow-update:gaiaflow/made_up/changed.py")
    assert "<<<<<<< yours\n" in pushed and "mine = 3" in pushed
    changed = git(origin, "diff", "--name-only", "gaiaflow-update^", "gaiaflow-update")
    assert ".gaiaflow" not in changed and ".env\n" not in changed


def test_without_a_new_release_nothing_happens(history: History, tmp_path: Path) -> None:
    project = history.generate(synthetic.NEW, tmp_path / "project")
    assert run_steps(project, tmp_path) == ""
    assert git(project, "status", "--porcelain") == ""
