"""The template's repository with all releases, this working tree, and two made-up releases."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from copier import run_copy

from tasks.rendering import ANSWERS, read_answers
from tests.conftest import ROOT
from tests.lifecycle import synthetic

PRESENT = "900.0.0"  # the working tree, whatever it will be called
RELEASES: dict[str, str] = {
    release["version"]: release["commit"]
    for release in tomllib.loads((Path(__file__).parent / "releases.toml").read_text())["release"]
}
PARTS = [".gitattributes", "CHANGES.md", "copier.yml", "extensions", "tasks", "template"]


def git(folder: Path, *arguments: str, check: bool = True) -> str:
    """Run git in a folder, as a test user, and return its output."""
    who = ["-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    command = ["git", *who, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    if check:
        assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout.decode(errors="surrogateescape")


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--no-verify", "--allow-empty", "-m", message)


@dataclass(frozen=True)
class History:
    """A repository of the template with a tag for each release."""

    path: Path
    cache: Path

    def checkout(self, release: str) -> Path:
        """A repository with a release checked out, as Copier uses in an update."""
        made = self.cache / f"checkout-{release}"
        if not made.exists():
            git(self.path, "worktree", "add", "--quiet", "--detach", str(made), release)
        return made

    def generate(self, release: str, target: Path, **answers: Any) -> Path:
        """Generate a project with git and `.env`."""
        shutil.copytree(self.generated(release, **answers), target, symlinks=True)
        return target

    def generated(self, release: str, **answers: Any) -> Path:
        """The same, but read-only: created once per release and answers."""
        made = self._place(release, answers)
        if not made.exists():
            draft = self.cache / f"draft-{made.name}"
            run_copy(
                str(self.path),
                draft,
                data={"project_name": "Forest Watch", "setup": "none", **answers},
                vcs_ref=release,
                defaults=True,
                unsafe=True,
                quiet=True,
            )
            draft.rename(made)
            full = self._place(release, read_answers((made / ANSWERS).read_bytes()))
            if not full.exists():
                full.symlink_to(made)
        return made.resolve()

    def _place(self, release: str, answers: dict[str, Any]) -> Path:
        key = hashlib.sha256(repr(sorted(answers.items())).encode()).hexdigest()[:12]
        return self.cache / f"{release}-{key}"


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """All releases; in a shallow clone, tests that need them are skipped."""
    path = tmp_path_factory.mktemp("history") / "gaiaflow"
    git(ROOT, "clone", "--quiet", "--no-checkout", str(ROOT), str(path))
    for tag in git(path, "tag").split():
        git(path, "tag", "--delete", tag)
    for version, reference in RELEASES.items():
        if not git(
            path, "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}", check=False
        ):
            pytest.skip(f"this clone has no commit of release {version}: git fetch --unshallow")
        git(path, "tag", version, reference)
    shutil.rmtree(path / "template", ignore_errors=True)
    for part in PARTS:
        if (ROOT / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*_cache")
            shutil.copytree(ROOT / part, path / part, ignore=ignored)
        else:
            shutil.copyfile(ROOT / part, path / part)
    commit(path, "the present")
    git(path, "tag", PRESENT)
    synthetic.write_old(path)
    commit(path, "a made-up release")
    git(path, "tag", synthetic.OLD)
    synthetic.write_new(path)
    commit(path, "the made-up release after that")
    git(path, "tag", synthetic.NEW)
    return History(path, tmp_path_factory.mktemp("generated"))


def release_after(history: History, project: Path, step: str) -> Path:
    """A release after the made-up ones, in a clone that becomes the project's source.

    Args:
        history: all releases.
        project: a project, which is committed.
        step: the body of the class of its one migration.

    Returns:
        The clone, next to the project.
    """
    template = project.parent / "template"
    git(project.parent, "clone", "--quiet", str(history.path), str(template))
    git(template, "checkout", "--quiet", synthetic.NEW)
    (template / "tasks" / "migrations" / "v903_0_0.py").write_text(
        "import time\nfrom pathlib import Path\n\nfrom tasks.migrations import Step\n\n\n"
        f"class Special(Step):\n{textwrap.indent(step, '    ')}\n\n\nMIGRATION = [Special()]\n"
    )
    commit(template, "a special release")
    git(template, "tag", "903.0.0")
    answers = project / ANSWERS
    text = answers.read_text(encoding="utf-8").replace(str(history.path), str(template))
    answers.write_text(text, encoding="utf-8")
    commit(project, "another template")
    return template


def command_of(project: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """The manager and its environment, with this test run's Copier on PATH."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    env["HOME"] = str(project.parent)  # ignore the user's Copier
    return [sys.executable, str(project / "mlops_manager.py"), *arguments], env


def manage(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command, env = command_of(project, *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.fixture(scope="session")
def airflow(history: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Airflow's environment of a present project, which others link to.

    Tests that use it are in the group "command", so it is created only once.
    """
    project = history.generate(PRESENT, tmp_path_factory.mktemp("airflow") / "project")
    done = manage(project, "status", "--json")
    if done.returncode:
        pytest.skip(f"packages cannot be fetched here: {done.stderr.splitlines()[-1]}")
    return project / ".gaiaflow" / "airflow"


@pytest.fixture(autouse=True)
def no_settings_of_a_person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Copier and git as on an unconfigured machine."""
    (tmp_path / "copier-settings.yml").write_text("{}\n")
    monkeypatch.setenv("COPIER_SETTINGS_PATH", str(tmp_path / "copier-settings.yml"))
