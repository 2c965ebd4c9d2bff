"""What is saved before an update, and what becomes of a person's work when it is brought back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from copier import run_update

from gaiaflow.snapshot import KEPT, Snapshot, SnapshotError, copy

from tests.lifecycle import synthetic
from tests.lifecycle.conftest import History, commit, git
from tests.lifecycle.test_properties import state_of


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A file of the framework, saved, and one of the user's; an update has begun."""
    root = tmp_path / "project"
    (root / "gaiaflow").mkdir(parents=True)
    (root / "gaiaflow" / "ours.py").write_text("ours\n")
    (root / "theirs.py").write_text("theirs\n")
    (root / ".gitignore").write_text("/.gaiaflow/\n")
    git(root, "init", "--quiet")
    commit(root, "all")
    Snapshot.take(root, ["gaiaflow"])
    return root


def kept(project: Path, number: int) -> dict[str, str]:
    folder = project / KEPT / str(number)
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_work_after_a_cut_off_update_is_kept(project: Path) -> None:
    before = state_of(project)
    for name in ("gaiaflow/ours.py", "gaiaflow/new.py", "theirs.py", "new.py", "left.rej"):
        (project / name).write_text("later\n")
    git(project, "clone", "--quiet", ".", "cloned")
    names = Snapshot(project).abort()
    assert (project / "cloned" / "theirs.py").read_text() == "theirs\n"
    shutil.rmtree(project / "cloned")
    assert state_of(project) == before
    written = ("gaiaflow/new.py", "gaiaflow/ours.py", "new.py", "theirs.py")
    assert kept(project, 1) == dict.fromkeys(written, "later\n")
    assert sorted(names) == [f"{KEPT}/1/{name}" for name in written]


def test_what_an_update_does_itself_is_not_kept(project: Path) -> None:
    (project / "gaiaflow" / "ours.py").write_text("half\n")
    (project / "theirs.py").write_text("saved by an editor meanwhile\n")
    assert Snapshot(project).restore() == [f"{KEPT}/1/theirs.py"]
    assert (project / "gaiaflow" / "ours.py").read_text() == "ours\n"


def test_each_abort_keeps_apart(project: Path) -> None:
    for number in (1, 2):
        snapshot = Snapshot.take(project, ["gaiaflow"])
        (project / "gaiaflow" / "ours.py").write_text("merged\n")
        snapshot.record_written(["gaiaflow/ours.py"])
        snapshot.save(phase="merged", conflicts=[])
        (project / "gaiaflow" / "ours.py").write_text(f"resolved {number}\n")
        snapshot.abort()
    assert kept(project, 1) == {"gaiaflow/ours.py": "resolved 1\n"}
    assert kept(project, 2) == {"gaiaflow/ours.py": "resolved 2\n"}


def test_commits_after_a_cut_off_update_are_left_alone(project: Path) -> None:
    (project / "theirs.py").write_text("later\n")
    commit(project, "went on")
    with pytest.raises(SnapshotError, match="there are commits since") as raised:
        Snapshot(project).abort()
    assert "reset" not in str(raised.value) and "revert" not in str(raised.value)
    assert (project / "theirs.py").read_text() == "later\n"


def test_a_copy_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "target"
    target.parent.mkdir()
    target.write_text("there\n")
    with pytest.raises(OSError):
        copy(tmp_path / "missing", target)
    assert list(target.parent.iterdir()) == [target]
    assert target.read_text() == "there\n"


def test_a_folder_that_is_a_link_is_refused(history: History, tmp_path: Path) -> None:
    """Copier would write to where it leads, which nobody could bring back."""
    project = history.generate(synthetic.OLD, tmp_path / "project")
    outside = tmp_path / "outside"
    shutil.move(project / "gaiaflow" / "made_up", outside)
    (project / "gaiaflow" / "made_up").symlink_to(outside)
    commit(project, "our work")
    before, there = state_of(project), state_of(outside)
    with pytest.raises((Exception, SystemExit)):
        run_update(str(project), vcs_ref=synthetic.NEW, defaults=True, overwrite=True, unsafe=True)
    assert state_of(project) == before
    assert state_of(outside) == there
    assert git(project, "status", "--porcelain") == ""
