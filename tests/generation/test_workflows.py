"""The CI files, a project's and ours, satisfy the linters of their kind.

tests/stack/test_generated.py runs the commands of a project's.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

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
  self-repository: {disable: true} # GitHub Enterprise Server does not know "$/" yet
"""


OURS = sorted(path.name for path in (ROOT / ".github" / "workflows").glob("*.yml"))

# The jobs that may do more than read, and what.
PERMISSIONS = {
    ("release.yml", "publish"): {"contents": "read", "packages": "write"},
    ("release.yml", "scan"): {
        "contents": "read",
        **dict.fromkeys(("packages", "id-token", "attestations"), "write"),
    },
    ("release.yml", "staging"): {"contents": "write"},
    ("deploy.yml", "prod"): {"contents": "write"},
    ("ci.yml", "release"): {"contents": "write"},
    ("docs.yml", "publish"): {"contents": "write"},
    ("locks.yml", "locks"): {"contents": "write", "pull-requests": "write"},
    ("update.yml", "update"): {"contents": "write", "pull-requests": "write"},
}


OF_RELEASES = ["release", "deploy", "ci of releases"]


@pytest.fixture(params=[*OURS, "uv", "pixi", "conda", "update", *OF_RELEASES])
def workflow(request: pytest.FixtureRequest, render: Render) -> Path:
    """A workflow of this repository, or of a project."""
    if request.param in OURS:
        return ROOT / ".github" / "workflows" / str(request.param)
    if request.param in OF_RELEASES:
        name = f"{request.param.partition(' ')[0]}.yml"
        return render(deploy="kubernetes") / ".github" / "workflows" / name
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
        assert job.get("permissions", {}) == PERMISSIONS.get((workflow.name, name), {})
        assert "uses" in job or job["timeout-minutes"] <= 60


def test_slow_tests_run_every_week() -> None:
    text = (ROOT / ".github" / "workflows" / "weekly.yml").read_text(encoding="utf-8")
    rooms = yaml.safe_load(text)["jobs"]["slow"]["strategy"]["matrix"]["room"]
    modules = (ROOT / "tests").glob("*/*.py")
    slow = {path.parent.name for path in modules if "mark.slow" in path.read_text(encoding="utf-8")}
    assert sorted(rooms) == sorted(slow)


# How a program of the project's environment is run.
RUN = {"uv": "uv run ", "pixi": "pixi run ", "conda": ".conda/bin/"}


RELEASES = {"publish", "sbom", "scan", "staging", "prod"}  # jobs of tags only


@pytest.fixture(params=RUN)
def gitlab(request: pytest.FixtureRequest, render: Render) -> Path:
    # What the manager changes does not depend on where releases run.
    deploy = "kubernetes" if request.param == "uv" else "none"
    return render(environment_manager=request.param, ci="gitlab", deploy=deploy) / ".gitlab-ci.yml"


def test_gitlabs_schema(gitlab: Path, tmp_path: Path) -> None:
    lint(program("check-jsonschema"), "--builtin-schema=vendor.gitlab-ci", gitlab, cwd=tmp_path)


def test_yamllint_of_gitlabs(gitlab: Path, tmp_path: Path) -> None:
    lint(sys.executable, "-m", "yamllint", "-s", "-d", YAMLLINT, gitlab, cwd=tmp_path)


def test_gitlabs_jobs(gitlab: Path) -> None:
    found = loaded(gitlab)
    jobs = {name: job for name, job in found.items() if "script" in job}
    assert jobs.keys() - RELEASES == {"check", "package-image", "update"}
    for name, job in jobs.items():
        assert job["timeout"] in {"15 minutes", "30 minutes", "1 hour"}
        [rule] = job.get("rules") or found[".release"]["rules"]
        condition = rule["if"]
        if name in RELEASES:
            assert condition == "$CI_COMMIT_TAG"
        else:  # the update has a schedule to itself
            on_schedule = condition.startswith('$CI_PIPELINE_SOURCE == "schedule"')
            assert on_schedule is (name == "update")
    if jobs.keys() >= RELEASES:
        assert jobs["prod"]["rules"][0]["when"] == "manual"
        assert "$CI_COMMIT_TAG == null" in jobs["package-image"]["rules"][0]["if"]


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def lines(scripts: list[str]) -> list[str]:
    """The commands of scripts, one a line, without comments and options for one site only."""
    found = [line.partition(" #")[0] for script in scripts for line in script.splitlines()]
    return [line.replace(" --output-format=github", "") for line in found]


@pytest.mark.parametrize("manager", RUN)
def test_both_sites_run_the_same_commands(render: Render, manager: str) -> None:
    github = loaded(render(environment_manager=manager) / ".github" / "workflows" / "ci.yml")
    gitlab = loaded(render(environment_manager=manager, ci="gitlab") / ".gitlab-ci.yml")
    for job, other in (("check", "check"), ("image", "package-image")):
        steps = [step["run"] for step in github["jobs"][job]["steps"] if "run" in step]
        commands = [line for line in lines(steps) if line != "pipx install uv"]
        own = [line for line in lines(gitlab[other]["script"]) if not line.startswith("apt-get")]
        assert own == commands
    checks = ("ruff check", "ruff format --check", "mypy", "pytest")
    assert lines(gitlab["check"]["script"]) == [
        "python3 mlops_manager.py deps",
        *(f"{RUN[manager]}{command}" for command in checks),
    ]


def test_both_sites_release_by_the_same_commands(render: Render) -> None:
    answers = {"deploy": "kubernetes"}
    folder = render(**answers) / ".github" / "workflows"
    github = {**loaded(folder / "release.yml")["jobs"], **loaded(folder / "deploy.yml")["jobs"]}
    gitlab = loaded(render(ci="gitlab", **answers) / ".gitlab-ci.yml")
    for job in ("publish", "staging", "prod"):
        steps = [step["run"] for step in github[job]["steps"] if "run" in step]
        both = [_ours(lines(scripts)) for scripts in (steps, gitlab[job]["script"])]
        assert both[0] == both[1] != []


def _ours(commands: list[str]) -> list[str]:
    """Calls of the manager, by names of variables that both sites have."""
    found = [line for line in commands if "mlops_manager.py" in line]
    for name in ("$GITHUB_REF_NAME", "$CI_COMMIT_TAG", "$RELEASE"):
        found = [line.replace(name, "$TAG") for line in found]
    return [line.replace("$image", "$IMAGE") for line in found]


@pytest.mark.parametrize(
    ("ci", "there"), [("github", {".github"}), ("gitlab", {".gitlab-ci.yml"}), ("none", set())]
)
def test_only_the_chosen_sites_files_are_there(render: Render, ci: str, there: set[str]) -> None:
    project = render(ci=ci)
    assert {path.name for path in project.glob(".git*")} - {".gitignore", ".gitattributes"} == there
    readme = (project / "README.md").read_text(encoding="utf-8")
    named = {name for name in (".github", ".gitlab-ci.yml") if f"`{name}" in readme}
    assert named == there
