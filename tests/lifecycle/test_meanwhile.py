"""What the user writes while an update runs, or commits after it, is never lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from copier import run_update

from gaiaflow.update.snapshot import KEPT, Snapshot, SnapshotError

from tasks.rendering import ANSWERS
from tests.lifecycle import synthetic
from tests.lifecycle.conftest import History, commit, git, release_after
from tests.lifecycle.test_properties import report_of, state_of

# What the user adds to each file; the release changes some of them too.
WRITTEN = {
    ".env": "MY=1\n",
    ".gitignore": "/mine/\n",
    "pyproject.toml": "# mine\n",
    "uv.lock": "# mine\n",
    "dags/change_me.py": "# mine\n",
    "gaiaflow/project/errors.py": "# mine\n",
    "gaiaflow/helper.py": "# mine\n",
    "gaiaflow/made_up/no_newline.txt": "\n# mine\n",
    "gaiaflow/backends/ports.py": "# mine\n",
}


@pytest.fixture
def project(history: History, tmp_path: Path) -> Path:
    return history.generate(synthetic.OLD, tmp_path / "project")


def write(project: Path) -> None:
    for name, text in WRITTEN.items():
        with (project / name).open("a", encoding="utf-8") as file:
            file.write(text)


def update(project: Path) -> None:
    run_update(str(project), defaults=True, overwrite=True, unsafe=True, quiet=True)


def test_work_at_the_first_question_stays(project: Path) -> None:
    asked = state_of(project)[ANSWERS]
    pexpect = pytest.importorskip("pexpect", reason="needs a terminal (not on Windows)")
    session = pexpect.spawn(
        sys.executable,
        ["-m", "copier", "update", "--trust", str(project)],
        env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        encoding="utf-8",
        timeout=60,
        dimensions=(50, 160),
    )
    session.expect_exact("What is the project called?")
    write(project)
    for name in ("gaiaflow/made_up/changed.py", "dags/landcover_yaml.yml"):
        (project / name).unlink()
    written = {**state_of(project), ANSWERS: asked}
    (project / "dags" / "committed.py").write_text("# mine\n")
    git(project, "add", "dags/committed.py")
    git(project, "commit", "--quiet", "--no-verify", "-m", "meanwhile")
    deadline = time.monotonic() + 120
    while session.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=0.3) == 1:
        assert time.monotonic() < deadline
        session.send("\r")  # keep the answer to each question
    session.close()
    assert session.exitstatus == 0
    assert synthetic.NEW in (project / ANSWERS).read_text()
    for name, text in WRITTEN.items():
        assert text.strip() in (project / name).read_text(encoding="utf-8"), name
    assert (project / "gaiaflow" / "project" / "errors.py").read_bytes() != written[
        "gaiaflow/project/errors.py"
    ][1]
    assert not (project / "dags" / "landcover_yaml.yml").exists()
    assert not (project / KEPT).exists()  # everything is in its place

    Snapshot(project).abort()
    assert not (project / KEPT).exists()
    assert state_of(project) == {**written, "dags/committed.py": ("file", b"# mine\n")}
    assert git(project, "show", "--format=", "--name-only", "HEAD") == "dags/committed.py\n"
    assert git(project, "diff", "--cached", "--name-only") == ""


def test_what_is_written_at_the_last_moment_is_copied(history: History, project: Path) -> None:
    """The migration's steps play the user: they write during the merge and the update of `.env`."""
    release_after(
        history,
        project,
        f"""
done = False

def files(self, base, ours, theirs):
    ours = ("gaiaflow/project/errors.py", "gaiaflow/made_up/dropped.py", "gaiaflow/made_up/new.sh")
    for name in ours:
        with (Path({str(project)!r}) / name).open("a") as file:
            file.write("# mine\\n")

def settings(self, text):
    if not self.done:
        with (Path({str(project)!r}) / ".env").open("a") as file:
            file.write("MY=1\\n")
        Special.done = True
    return text
""",
    )
    update(project)
    names = {"gaiaflow/project/errors.py", "gaiaflow/made_up/dropped.py", "gaiaflow/made_up/new.sh"}
    for name in names:
        assert (project / KEPT / "1" / name).read_text().endswith("# mine\n")
    assert set(report_of(project)["put"]) == {f"{KEPT}/1/{name}" for name in names}
    assert "MY=1\n" in (project / ".env").read_text(encoding="utf-8")
    assert "MADE_UP_NEW=" in (project / ".env").read_text(encoding="utf-8")


def test_work_stays_when_the_update_fails(history: History, project: Path) -> None:
    release_after(history, project, "def settings(self, text):\n    raise RuntimeError('broken')")
    write(project)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "-m", "our work")
    later = project / "gaiaflow" / "made_up" / "later.py"
    before = state_of(project)
    with pytest.raises((Exception, SystemExit)):
        update(project)
    assert state_of(project) == before
    later.write_text("# mine\n")
    assert git(project, "status", "--porcelain") == "?? gaiaflow/made_up/later.py\n"


def updated(history: History, project: Path) -> Path:
    run_update(str(project), vcs_ref=synthetic.NEW, defaults=True, overwrite=True, unsafe=True)
    return project


def undo(project: Path) -> subprocess.CompletedProcess[str]:
    program = project / ".gaiaflow" / "update" / "undo.py"
    command = [sys.executable, str(program)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("folder", [".", "folder"])
def test_an_unrelated_commit_survives_going_back(
    history: History, tmp_path: Path, folder: str
) -> None:
    repository = tmp_path / "repository"
    project = history.generate(synthetic.OLD, repository / folder)
    if folder != ".":
        subprocess.run(["rm", "-r", str(project / ".git")], check=True)
        git(repository, "init", "--quiet")
        commit(repository, "all")
    before = state_of(project)
    updated(history, project)
    (repository / "unrelated.txt").write_text("mine\n")
    (project / "staged.txt").write_text("mine\n")
    git(repository, "add", "unrelated.txt")
    git(repository, "commit", "--quiet", "--no-verify", "-m", "unrelated")
    git(project, "add", "staged.txt", "gaiaflow")
    head = git(repository, "rev-parse", "HEAD")
    done = undo(project)
    assert done.returncode == 0, done.stderr
    (project / "unrelated.txt").unlink(missing_ok=True)
    assert git(project, "diff", "--cached", "--name-only", "--relative") == "staged.txt\n"
    (project / "staged.txt").unlink()
    assert state_of(project) == before
    assert git(repository, "rev-parse", "HEAD") == head


def test_a_committed_update_is_left_to_git(history: History, project: Path) -> None:
    updated(history, project)
    commit(project, "Update Gaiaflow")
    update_commit = git(project, "rev-parse", "--short", "HEAD").strip()
    (project / "mine.txt").write_text("mine\n")
    commit(project, "went on")
    done = undo(project)
    assert done.returncode == 1
    assert f"git revert {update_commit} " in done.stderr
    assert "reset" not in done.stderr and "went on" not in done.stderr
    git(project, "revert", "--no-edit", update_commit)
    assert synthetic.OLD in (project / ANSWERS).read_text()
    assert (project / "mine.txt").exists()


def test_a_merge_of_two_updated_branches(history: History, project: Path) -> None:
    git(project, "branch", "other")
    updated(history, project)
    commit(project, "updated here")
    here = git(project, "rev-parse", "--short", "HEAD").strip()
    git(project, "switch", "--quiet", "other")
    (project / "mine.txt").write_text("mine\n")
    commit(project, "other work")
    updated(history, project)
    commit(project, "updated there")
    git(project, "switch", "--quiet", "-")
    elsewhere = undo(project)  # the last update began on another branch's commit
    assert elsewhere.returncode == 1 and "Check out the branch" in elsewhere.stderr
    git(project, "merge", "--quiet", "--no-edit", "other")
    merged = undo(project)
    assert merged.returncode == 1 and f"git revert {here} " in merged.stderr
    assert "there" not in merged.stderr and "-m 1" not in merged.stderr
    git(project, "switch", "--quiet", "other")
    git(project, "reset", "--quiet", "--hard", "HEAD^")
    git(project, "merge", "--quiet", "--no-edit", "--no-ff", "-")
    only_merged = undo(project)
    assert "git revert -m 1 " in only_merged.stderr, only_merged.stderr


def test_an_edit_of_the_answers_meanwhile(history: History, project: Path) -> None:
    release_after(
        history,
        project,
        f"""
def answers(self, answers):
    with (Path({str(project)!r}) / {ANSWERS!r}).open("a") as file:
        file.write("# mine\\n")
""",
    )
    update(project)
    assert (project / KEPT / "1" / ANSWERS).read_text(encoding="utf-8").endswith("# mine\n")


@pytest.mark.parametrize("tracked", [True, False])
def test_git_as_people_have_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracked: bool
) -> None:
    """Failing hooks, a name that is not UTF-8, a configuration that prevents commits."""
    name = os.fsdecode(b"data/caf\xe9.tif" if not tracked else b"notebooks/caf\xe9.txt")
    try:
        (project / name).write_text("mine\n")
    except OSError:
        pytest.skip("this file system accepts only UTF-8")
    commit(project, "our work")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("prepare-commit-msg", "pre-commit", "commit-msg"):
        (hooks / hook).write_text("#!/bin/sh\nexit 1\n")
        (hooks / hook).chmod(0o755)
    config = tmp_path / "gitconfig"
    settings = {
        "core.hooksPath": str(hooks),
        "core.autocrlf": "true",
        "core.safecrlf": "true",
        "commit.gpgsign": "true",
        "gpg.program": "false",
        "commit.template": str(tmp_path / "missing"),
        "init.templateDir": str(tmp_path / "missing"),
        "init.defaultObjectFormat": "sha256",
        "user.useConfigOnly": "true",
    }
    for key, value in settings.items():
        git(tmp_path, "config", "--file", str(config), key, value)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    head = git(project, "rev-parse", "HEAD")
    command = [sys.executable, "-m", "copier", "update", "--trust", "--defaults", str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert synthetic.NEW in (project / ANSWERS).read_text(encoding="utf-8")
    assert git(project, "rev-parse", "HEAD") == head
    assert (project / name).read_text() == "mine\n"


def test_no_way_back_is_claimed_where_none_is(project: Path) -> None:
    with pytest.raises(SnapshotError, match="There is no update to abort"):
        Snapshot(project).abort()
