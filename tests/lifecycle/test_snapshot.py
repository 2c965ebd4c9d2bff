"""What is saved before an update, and what happens to the user's work when it is undone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from copier import run_update

from gaiaflow.update.snapshot import DRAFT, KEPT, MISSING, Snapshot, SnapshotError, copy, digest_of

from tests.lifecycle import synthetic
from tests.lifecycle.conftest import History, commit, git
from tests.lifecycle.test_properties import state_of


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two files of the framework and one of the user's, just before an update writes."""
    root = tmp_path / "project"
    (root / "gaiaflow").mkdir(parents=True)
    (root / "gaiaflow" / "ours.py").write_text("ours\n")
    (root / "gaiaflow" / "dropped.py").write_text("dropped\n")
    (root / "theirs.py").write_text("theirs\n")
    (root / ".gitignore").write_text("/.gaiaflow/\n")
    git(root, "init", "--quiet")
    commit(root, "all")
    planned = dict.fromkeys(("gaiaflow/ours.py", "gaiaflow/added.py"), digest_of(b"merged\n"))
    planned["gaiaflow/dropped.py"] = MISSING
    snapshot = Snapshot.take(root, planned)
    snapshot.plan(planned)
    return root


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system, such as a cluster's scratch space."""
    here = tmp_path.stat().st_dev
    places = [Path("/dev/shm"), Path("/var/tmp")]  # memory, or disk if tests run in memory
    others = [place for place in places if place.is_dir() and place.stat().st_dev != here]
    if not others:
        pytest.skip("needs a second file system")
    with TemporaryDirectory(dir=others[0], prefix="gaiaflow-") as folder:
        yield Path(folder)


def move(path: Path, to: Path) -> None:
    """Move a folder to another place and leave a link to it."""
    shutil.copytree(path, to, symlinks=True)
    shutil.rmtree(path)
    path.symlink_to(to)


def kept(project: Path, number: int) -> dict[str, str]:
    folder = project / KEPT / str(number)
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_work_after_a_cut_off_update_is_kept(project: Path) -> None:
    before = state_of(project)
    written = ("gaiaflow/added.py", "gaiaflow/dropped.py", "gaiaflow/ours.py")
    for name in (*written, "gaiaflow/new.py", "theirs.py", "new.py", "left.rej"):
        (project / name).write_text("later\n")
    git(project, "add", "new.py", "gaiaflow")
    names = Snapshot(project).abort()
    assert kept(project, 1) == dict.fromkeys(written, "later\n")
    assert sorted(names) == [f"{KEPT}/1/{name}" for name in written]
    assert git(project, "diff", "--cached", "--name-only") == "gaiaflow/new.py\nnew.py\n"
    for name in ("gaiaflow/new.py", "new.py", "left.rej"):  # not touched by the update
        assert (project / name).read_text() == "later\n"
        (project / name).unlink()
    assert (project / "theirs.py").read_text() == "later\n"
    (project / "theirs.py").write_text("theirs\n")
    assert state_of(project) == before


def test_what_an_update_does_itself_is_not_kept(project: Path) -> None:
    before = state_of(project)
    (project / "gaiaflow" / "added.py").write_text("merged\n")
    (project / "gaiaflow" / "dropped.py").unlink()  # the third is not written yet
    snapshot = Snapshot(project)
    assert sorted(snapshot.changed()) == ["gaiaflow/added.py", "gaiaflow/dropped.py"]
    assert snapshot.restore() == []
    assert state_of(project) == before
    assert not (project / KEPT).exists()


def test_nothing_half_written_is_left(project: Path) -> None:
    """The update was killed while it wrote one file, and before it wrote one in a new folder."""
    before = state_of(project)
    Snapshot(project).plan({"gaiaflow/new/deep/added.py": digest_of(b"merged\n")})
    (project / "gaiaflow" / DRAFT).write_text("mer")
    (project / "gaiaflow" / "new" / "deep").mkdir(parents=True)
    (project / "gaiaflow" / "new" / "deep" / DRAFT).symlink_to("nowhere")
    assert Snapshot(project).abort() == []
    assert state_of(project) == before
    assert not (project / "gaiaflow" / "new").exists()


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
    (project / "gaiaflow" / "ours.py").write_text("merged\n")
    (project / "theirs.py").write_text("later\n")
    git(project, "commit", "--quiet", "--message", "went on", "theirs.py")
    assert Snapshot(project).committed() == []
    git(project, "commit", "--quiet", "--message", "in part", "gaiaflow/ours.py")
    with pytest.raises(SnapshotError, match=r"committed \(gaiaflow/ours.py\)") as raised:
        Snapshot(project).abort()
    assert "in part" in str(raised.value) and "went on" not in str(raised.value)
    assert "reset" not in str(raised.value)
    assert (project / "gaiaflow" / "ours.py").read_text() == "merged\n"
    assert (project / "theirs.py").read_text() == "later\n"


def test_a_copy_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "target"
    target.parent.mkdir()
    target.write_text("there\n")
    with pytest.raises(OSError):
        copy(tmp_path / "missing", target)
    assert list(target.parent.iterdir()) == [target]
    assert target.read_text() == "there\n"


@pytest.mark.parametrize("moved", [[], [".venv"], [".gaiaflow"], [".venv", ".gaiaflow"]])
def test_an_environment_or_the_copies_on_another_file_system(
    tmp_path: Path, elsewhere: Path, moved: list[str]
) -> None:
    root = tmp_path / "project"
    packages = root / ".venv" / "lib"
    packages.mkdir(parents=True)
    (root / ".gaiaflow").mkdir()
    (root / ".gaiaflow" / "project.stamp").write_text("old\n")
    (root / ".gitignore").write_text("/.venv\n/.gaiaflow\n")
    (packages / "module.py").write_text("first\n")
    (packages / "becomes_a_folder").write_text("file\n")
    (packages / "goes").mkdir()
    (packages / "goes" / "__init__.py").write_text("\n")
    (packages / "link").symlink_to("module.py")
    for name in moved:
        move(root / name, elsewhere / name)
    cache = packages.resolve() / ".." / "cached.py"  # uv links to its cache if possible
    cache.write_text("from a cache\n")
    (packages / "linked.py").hardlink_to(cache)
    git(root, "init", "--quiet")
    commit(root, "all")
    before = state_of(root), state_of((root / ".venv").resolve())

    snapshot = Snapshot.take(root, [".gaiaflow/project.stamp"])
    snapshot.cover_environment(".venv")
    (root / ".gaiaflow" / "project.stamp").write_text("new\n")
    snapshot.record_written([".gaiaflow/project.stamp"])
    snapshot.save(phase="finished")
    (packages / "linked.py").unlink()
    (packages / "linked.py").write_text("newer\n")
    (packages / "module.py").write_text("other\n")
    (packages / "becomes_a_folder").unlink()
    (packages / "becomes_a_folder").mkdir()
    shutil.rmtree(packages / "goes")
    (packages / "added.py").write_text("added\n")
    undo = [sys.executable, ".gaiaflow/update/undo.py"]
    done = subprocess.run(undo, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (state_of(root), state_of((root / ".venv").resolve())) == before
    assert (root / ".gaiaflow" / "project.stamp").read_text() == "old\n"
    assert cache.read_text() == "from a cache\n"
    assert {name for name in moved if (root / name).is_symlink()} == set(moved)
    assert not (root / ".gaiaflow" / "update").exists()


def test_an_update_with_its_copies_on_another_file_system(
    history: History, tmp_path: Path, elsewhere: Path
) -> None:
    project = history.generate(synthetic.OLD, tmp_path / "project")
    (project / ".gaiaflow").mkdir(exist_ok=True)
    move(project / ".gaiaflow", elsewhere / "state")
    assert git(project, "status", "--porcelain") == ""  # a link is ignored, too
    before = state_of(project)
    run_update(str(project), vcs_ref=synthetic.NEW, defaults=True, overwrite=True, unsafe=True)
    assert (project / "gaiaflow" / "made_up" / "part.py").exists()
    undo = [sys.executable, str(project / ".gaiaflow" / "update" / "undo.py")]
    done = subprocess.run(undo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert state_of(project) == before
    assert (project / ".gaiaflow").is_symlink()


def test_a_folder_that_is_a_link_is_refused(history: History, tmp_path: Path) -> None:
    """The update would write to the link's target, and couldn't undo that."""
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
