"""A project's weekly workflow, with its steps as in CI; only the sites themselves are doubles.

For GitHub, a double of `gh` records its calls. For GitLab, a hook of a repository records the push
options, which ask GitLab for a merge request.
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
from tests.lifecycle.test_properties import report_of

GH = """#!/bin/sh
echo "$@" >> "$RUNNER_TEMP/calls"
"""


def run_steps(project: Path, folder: Path) -> str:
    """Run the workflow's commands and return the calls of `gh`."""
    workflow = yaml.safe_load((project / ".github" / "workflows" / "update.yml").read_text())
    steps = workflow["jobs"]["update"]["steps"]
    gh = folder / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(GH)
    gh.chmod(0o755)
    path = f"{gh.parent}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": path, "RUNNER_TEMP": str(folder), "BRANCH": "gaiaflow-update"}
    for step in steps:
        run_script(project, step.get("run", ""), env)
    calls = folder / "calls"
    return calls.read_text() if calls.exists() else ""


def run_script(project: Path, script: str, env: dict[str, str]) -> None:
    """Run a step, but don't fetch Copier, which is already installed: that needs GitHub."""
    source = yaml.safe_load((project / ANSWERS).read_text())["_src_path"]
    for command, here in (
        ("pipx install uv\n", ""),
        ('uvx --from "git+$template" ', ""),
        ("template=https://github.com/bcdev/gaiaflow", f"template={source}"),
    ):
        script = script.replace(command, here)
    env = {**os.environ, **env}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


HOOK = """#!/bin/sh
env | grep ^GIT_PUSH_OPTION_ > "$(dirname "$0")/options"
"""


def run_gitlabs_job(checkout: Path, origin: Path) -> str:
    """Run the job's commands in one shell, as GitLab does, and return the push options."""
    job = yaml.safe_load((checkout / ".gitlab-ci.yml").read_text())["update"]
    url = "https://gaiaflow:secret@git.example/group/forest.git"
    git(checkout, "config", f"url.{origin}.insteadOf", url)
    git(origin, "config", "receive.advertisePushOptions", "true")
    hook = origin / ".git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(HOOK)
    hook.chmod(0o755)
    given = {
        "GAIAFLOW_TOKEN": "secret",
        "CI_SERVER_HOST": "git.example",
        "CI_PROJECT_PATH": "group/forest",
        "CI_DEFAULT_BRANCH": "main",
    }
    script = "\n".join(job["script"])
    run_script(checkout, script, given | {"BRANCH": job["variables"]["BRANCH"]})
    options = hook.with_name("options")
    return options.read_text() if options.exists() else ""


@pytest.fixture(params=["github"])
def checkout(request: pytest.FixtureRequest, history: History, tmp_path: Path) -> Path:
    """A clone without `.env`, as CI checks it out."""
    project = history.generate(synthetic.OLD, tmp_path / "project", ci=request.param)
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


@pytest.mark.parametrize("checkout", ["gitlab"], indirect=True)
def test_a_merge_request_of_gitlab(checkout: Path, tmp_path: Path) -> None:
    base, origin = git(checkout, "rev-parse", "HEAD"), tmp_path / "project"
    options = run_gitlabs_job(checkout, origin)
    for option in ("create", "target=main", "title=Update"):
        assert f"=merge_request.{option}" in options
    assert "(with conflicts)\n" in options
    assert git(origin, "rev-parse", "gaiaflow-update^") == base
    assert "\n# " not in git(origin, "log", "-1", "--format=%s", "gaiaflow-update")
    assert "CONFLICT" in git(origin, "log", "-1", "--format=%b", "gaiaflow-update")


def test_a_project_moves_to_gitlab(history: History, tmp_path: Path) -> None:
    """Unedited workflows go; edited ones stay, and the summary names them."""
    from copier import run_update

    project = history.generate(synthetic.NEW, tmp_path / "project")
    workflows = project / ".github" / "workflows"
    edited = workflows / "ci.yml"
    edited.write_text(edited.read_text() + "  # ours\n")
    (workflows / "own.yml").write_text("on: push\njobs: {}\n")
    commit(project, "our work")
    run_update(str(project), data={"ci": "gitlab"}, defaults=True, overwrite=True, unsafe=True)
    assert (project / ".gitlab-ci.yml").exists()
    assert not (workflows / "update.yml").exists()
    assert (workflows / "own.yml").exists()
    assert edited.read_text().endswith("  # ours\n")
    assert report_of(project)["kept"] == [".github/workflows/ci.yml"]


def test_without_a_new_release_nothing_happens(history: History, tmp_path: Path) -> None:
    project = history.generate(synthetic.NEW, tmp_path / "project")
    assert run_steps(project, tmp_path) == ""
    assert git(project, "status", "--porcelain") == ""
