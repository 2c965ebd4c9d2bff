"""`mlops_manager.py update` as users run it, in projects with Airflow's environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from copier import run_update

from tasks.rendering import ANSWERS
from tests.lifecycle import synthetic
from tests.lifecycle.conftest import (
    PRESENT,
    RELEASES,
    History,
    command_of,
    commit,
    git,
    manage,
    release_after,
)
from tests.lifecycle.test_properties import state_of

pytestmark = pytest.mark.xdist_group("command")  # they share one environment


@pytest.fixture
def project(history: History, airflow: Path, tmp_path: Path) -> Path:
    """A project of the made-up release; the next one changes files everywhere."""
    project = history.generate(synthetic.OLD, tmp_path / "project")
    (project / ".gaiaflow").mkdir(exist_ok=True)
    (project / ".gaiaflow" / "airflow").symlink_to(airflow)
    return project


def edit(project: Path, path: str, old: str, new: str) -> None:
    file = project / path
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_an_update_without_conflicts(project: Path) -> None:
    edit(project, "gaiaflow/made_up/changed.py", "step_20 = 20", "mine = 20")
    commit(project, "our work")
    done = manage(project, "update")
    assert done.returncode == 0, done.stderr
    assert "merged" in done.stderr and "gaiaflow/made_up/changed.py" in done.stderr
    text = (project / "gaiaflow" / "made_up" / "changed.py").read_text()
    assert "mine = 20" in text and "step_three" in text
    assert manage(project, "update").returncode == 1  # not committed yet
    commit(project, "updated")
    again = manage(project, "update")
    assert again.returncode == 0 and "Nothing to do" in again.stderr, again.stderr
    assert git(project, "status", "--porcelain") == ""


def test_conflicts_need_a_person(project: Path) -> None:
    edit(project, "gaiaflow/made_up/changed.py", "step_3 = 3", "mine = 3")
    commit(project, "our work")
    before = state_of(project)
    done = manage(project, "update")
    assert done.returncode == 3, done.stderr
    assert "CONFLICT" in done.stderr
    assert git(project, "ls-files", "--unmerged") != ""
    left = manage(project, "update", "--continue")
    assert left.returncode == 3 and "gaiaflow/made_up/changed.py" in left.stderr
    file = project / "gaiaflow" / "made_up" / "changed.py"
    conflicted = file.read_text()
    assert "<<<<<<< yours" in conflicted and ">>>>>>> Gaiaflow 902.0.0" in conflicted
    file.write_text("mine = 3\n")
    git(project, "add", "gaiaflow/made_up/changed.py")
    finished = manage(project, "update", "--continue")
    assert finished.returncode == 0, finished.stderr
    aborted = manage(project, "update", "--abort")
    assert aborted.returncode == 0, aborted.stderr
    assert state_of(project) == before
    assert git(project, "status", "--porcelain") == ""
    assert (
        project / ".gaiaflow" / "kept" / "1" / "gaiaflow" / "made_up" / "changed.py"
    ).read_text() == ("mine = 3\n")


def test_a_broken_framework_can_be_undone(project: Path) -> None:
    edit(project, "gaiaflow/project/errors.py", "class GaiaflowError", "class  GaiaflowError")
    (project / "mlops_manager.py").write_text("not Python {\n")
    commit(project, "our work")
    before = state_of(project)
    copier = [sys.executable, "-m", "copier", "update", "--trust", "--defaults", str(project)]
    done = subprocess.run(copier, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "CONFLICT" in done.stderr and "undo.py" in done.stderr
    undo = project / ".gaiaflow" / "update" / "undo.py"
    subprocess.run([sys.executable, str(undo)], check=True)
    assert state_of(project) == before


def test_what_is_refused(project: Path) -> None:
    (project / "new.txt").write_text("new\n")
    dirty = manage(project, "update")
    assert dirty.returncode == 1 and "new.txt" in dirty.stderr and "git add" in dirty.stderr
    assert manage(project, "update", "--abort", "--continue").returncode == 2
    nothing = manage(project, "update", "--abort")
    assert nothing.returncode == 1 and "no update" in nothing.stderr
    (project / "gaiaflow" / "project" / "errors.py").write_text("<<<<<<< yours\n")
    marked = manage(project, "update", "--continue")
    assert marked.returncode == 1 and "errors.py, line 1" in marked.stderr, marked.stderr
    assert "git status" in marked.stderr and "Traceback" not in marked.stderr


def test_an_environment_with_a_python_that_is_too_old(project: Path) -> None:
    """The new release's commands could not run in it, not even `update --abort`."""
    airflow = project / ".gaiaflow" / "airflow"
    made = airflow.readlink()
    airflow.unlink()
    airflow.mkdir()
    for path in made.iterdir():
        (airflow / path.name).symlink_to(path)
    text = (made / "pyvenv.cfg").read_text(encoding="utf-8")
    (airflow / "pyvenv.cfg").unlink()
    (airflow / "pyvenv.cfg").write_text(re.sub(r"(?m)^(version_info = ).*", r"\g<1>3.10.12", text))
    before = state_of(project)
    copier = [sys.executable, "-m", "copier", "update", "--trust", "--defaults", str(project)]
    done = subprocess.run(copier, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "has Python 3.10, and this release needs 3.11 or newer" in done.stderr
    assert state_of(project) == before


def test_a_clone_without_settings(project: Path) -> None:
    (project / ".env").unlink()
    done = manage(project, "update")
    assert done.returncode == 0, done.stderr
    assert (project / ".env").is_file()


def test_an_update_that_is_killed(history: History, project: Path) -> None:
    """After the files are written, but before `.env` is."""
    release_after(
        history, project, "def settings(self, text):\n    while True:\n        time.sleep(0.1)"
    )
    before = state_of(project)
    command, env = command_of(project, "update")
    running = psutil.Popen(command, env=env, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 300
    while "903.0.0" not in (project / ANSWERS).read_text(encoding="utf-8"):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGSTOP)
    second = manage(project, "update", "--abort")
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert second.returncode == 1 and "is running" in second.stderr
    assert state_of(project) != before
    again = manage(project, "update")
    assert again.returncode == 1 and "--abort" in again.stderr
    edited = project / "gaiaflow" / "project" / "stamps.py"  # the user continues to work
    edited.write_text("# later\n")
    later = {"README.md", "notebooks/new.ipynb"}
    for name in later:
        with (project / name).open("a", encoding="utf-8") as file:
            file.write("# later\n")
    git(project, "add", "README.md")
    git(project, "commit", "--quiet", "--message", "went on")
    broken_file = project / "gaiaflow" / "project" / "errors.py"
    broken_file.unlink()  # as if it had been killed while writing the framework
    broken = manage(project, "update", "--abort")
    assert broken.returncode == 1 and "undo.py" in broken.stderr
    undo = [sys.executable, str(project / ".gaiaflow" / "update" / "undo.py")]
    aborted = subprocess.run(undo, capture_output=True, text=True, check=False)
    assert aborted.returncode == 0, aborted.stderr
    assert ".gaiaflow/kept/1/gaiaflow/project/stamps.py" in aborted.stderr
    assert (project / ".gaiaflow" / "kept" / "1" / "gaiaflow" / "project" / "stamps.py").exists()
    after = state_of(project)
    for name in later:
        assert after[name][1].endswith(b"# later\n")
    unchanged = before.keys() - later
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}
    assert git(project, "status", "--porcelain") == "?? notebooks/new.ipynb\n"
    assert git(project, "log", "-1", "--format=%s") == "went on\n"
    assert manage(project, "update", "--abort").returncode == 1  # only once


def test_an_interrupted_update_changes_nothing(history: History, project: Path) -> None:
    """Ctrl-C in a terminal, after the files are written."""
    release_after(
        history, project, "def settings(self, text):\n    while True:\n        time.sleep(0.1)"
    )
    before = state_of(project)
    command, env = command_of(project, "update")
    running = psutil.Popen(
        command,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # As in a terminal; a shell's background job would ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 300
    while "903.0.0" not in (project / ANSWERS).read_text(encoding="utf-8"):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert state_of(project) == before
    assert git(project, "status", "--porcelain") == ""


def test_nothing_is_called_merged_that_is_not(history: History, project: Path) -> None:
    """The previous update was undone by hand; what it saved is still there."""
    assert manage(project, "update").returncode == 0
    git(project, "checkout", "--quiet", "--", ".")
    git(project, "clean", "--quiet", "--force", "-d")
    commit(project, "as before")
    release_after(history, project, "def answers(self, answers):\n    raise RuntimeError('broken')")
    before = state_of(project)
    failed = manage(project, "update")
    assert failed.returncode == 1 and "broken" in failed.stderr
    assert "The project is as it was before." in failed.stderr, failed.stderr
    assert "is merged" not in failed.stderr and "Traceback" not in failed.stderr
    assert state_of(project) == before


@pytest.mark.parametrize(
    "missing",
    ["gaiaflow", "gaiaflow/bootstrap.py", "gaiaflow/doctor", "gaiaflow/backends/engine.py"],
)
def test_a_framework_with_a_part_missing_says_what_helps(project: Path, missing: str) -> None:
    commit(project, "all")
    path = project / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    commands = [("update", "--abort"), ("doctor",)] if "engine" not in missing else []
    for command in commands:
        done = manage(project, *command)
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        assert f"No module named '{missing.removesuffix('.py').replace('/', '.')}" in done.stderr
        assert "git status gaiaflow" in done.stderr and "undo.py" not in done.stderr
    (project / ".gaiaflow" / "update").mkdir()
    (project / ".gaiaflow" / "update" / "undo.py").touch()
    done = manage(project, "status")
    assert done.returncode == 0 or "python3 .gaiaflow/update/undo.py" in done.stderr, done.stderr
    git(project, "checkout", "--quiet", "--", "gaiaflow")
    assert manage(project, "status").returncode == 0


def test_an_update_from_within_git(project: Path) -> None:
    """As in an alias, a hook or `git rebase --exec`: git names the repository in variables."""
    commit(project, "our work")
    head = git(project, "rev-parse", "HEAD")
    command, env = command_of(project, "update")
    env |= {"GIT_DIR": str(project / ".git"), "GIT_INDEX_FILE": str(project / ".git" / "index")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert git(project, "rev-parse", "HEAD") == head
    assert "902.0.0" in (project / ANSWERS).read_text(encoding="utf-8")


def test_nonsense_in_the_answers_changes_nothing(project: Path) -> None:
    answers = project / ANSWERS
    text = answers.read_text(encoding="utf-8")
    answers.write_text(text.replace("seaweedfs", "floppy"), encoding="utf-8")
    commit(project, "by hand")
    before = state_of(project)
    done = manage(project, "update")
    assert done.returncode == 1 and "as it was" in done.stderr, done.stderr
    assert "object_store: 'floppy' is not one of" in done.stderr and "Traceback" not in done.stderr
    assert state_of(project) == before


def test_settings_that_are_a_link_with_a_value_over_several_lines(project: Path) -> None:
    place = project / ".gaiaflow" / "secrets"
    (project / ".env").rename(place)
    with place.open("a", encoding="utf-8") as env:
        env.write("PRIVATE_KEY='-----BEGIN\nabc=\n-----END'\n")
    before = place.read_text(encoding="utf-8")
    place.chmod(0o640)
    (project / ".env").symlink_to(place)
    done = manage(project, "update")
    assert done.returncode == 0, done.stderr
    after = place.read_text(encoding="utf-8")
    assert "MADE_UP_NEW=" in after and "PRIVATE_KEY='-----BEGIN\nabc=\n-----END'\n" in after
    assert (project / ".env").is_symlink() and place.stat().st_mode & 0o777 == 0o640
    assert manage(project, "update", "--abort").returncode == 0
    assert place.read_text(encoding="utf-8") == before and (project / ".env").is_symlink()


def test_settings_that_cannot_be_read_stop_an_update_before_it_begins(project: Path) -> None:
    with (project / ".env").open("a", encoding="utf-8") as env:
        env.write("nonsense\n")
    before = state_of(project)
    done = manage(project, "update")
    assert done.returncode == 1 and ".env, line " in done.stderr, done.stderr
    assert state_of(project) == before


def test_an_environment_that_fails_after_the_merge(project: Path) -> None:
    """Exit code 1 would mean that the project is unchanged."""
    edit(
        project,
        "pyproject.toml",
        '    "spyndex',
        '    "gone @ file:///nowhere/gone.tar.gz",\n    "spyndex',
    )
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to(sys.executable)
    commit(project, "a dependency that is nowhere")
    before = state_of(project)
    done = manage(project, "update")
    assert done.returncode == 4, done.stderr
    assert "is merged" in done.stderr and "--continue" in done.stderr
    assert "step_three" in (project / "gaiaflow" / "made_up" / "changed.py").read_text()
    assert manage(project, "update", "--abort").returncode == 0
    assert state_of(project) == before


def test_airflows_environment_that_fails_after_the_merge(project: Path) -> None:
    lock = project / "gaiaflow" / "locks" / "airflow.txt"
    lock.write_text("gone @ file:///nowhere/gone.tar.gz\n")
    done = manage(project, "update", "--continue")
    assert done.returncode == 4 and "undo.py" in done.stderr, done.stderr


def test_check(project: Path) -> None:
    found = json.loads(manage(project, "update", "--check", "--json").stdout)
    assert found == {"current": synthetic.OLD, "latest": synthetic.NEW, "newer": True}


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_a_projects_own_tests_pass_after_an_update(
    history: History, airflow: Path, tmp_path: Path, release: str
) -> None:
    """With its real environment, and Airflow's for the pipelines."""
    project = history.generate(release, tmp_path / "project")
    run_update(str(project), vcs_ref=PRESENT, defaults=True, overwrite=True, unsafe=True)
    assert os.access(project / "mlops_manager.py", os.X_OK)
    (project / ".gaiaflow" / "airflow").symlink_to(airflow)
    assert manage(project, "update", "--continue").returncode == 0
    made = manage(project, "deps")
    assert made.returncode == 0, made.stderr
    tests = [str(project / ".venv" / "bin" / "python"), "-m", "pytest", "-q"]
    done = subprocess.run(tests, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout, done.stdout


def test_an_unknown_release_changes_nothing(project: Path) -> None:
    before = state_of(project)
    done = manage(project, "update", "--to", "77.0.0")
    assert done.returncode == 1 and "as it was" in done.stderr
    assert state_of(project) == before


def test_an_environment_is_brought_back_byte_by_byte(tmp_path: Path) -> None:
    from gaiaflow.update.snapshot import Snapshot

    root = tmp_path / "project"
    environment = root / ".venv" / "lib"
    environment.mkdir(parents=True)
    cache = tmp_path / "cached.py"
    cache.write_text("from a cache\n")
    (environment / "linked.py").hardlink_to(cache)
    (environment / "history").write_text("first\n")
    (environment / "link").symlink_to("history")
    (root / "file.txt").write_text("x\n")
    (root / ".gitignore").write_text("/.venv/\n/.gaiaflow/\n")
    git(root, "init", "--quiet")
    commit(root, "all")
    before = state_of(root)
    snapshot = Snapshot.take(root, ["file.txt"])
    (root / ".gaiaflow" / "update" / "environments" / ".venv" / "half").mkdir(parents=True)
    snapshot.cover_environment(".venv")
    snapshot.save(phase="merged")
    (environment / "linked.py").unlink()
    (environment / "linked.py").write_text("newer\n")
    with (environment / "history").open("a") as file:
        file.write("second\n")
    (environment / "added.py").write_text("added\n")
    snapshot.abort()
    assert state_of(root) == before
    assert cache.read_text() == "from a cache\n"
