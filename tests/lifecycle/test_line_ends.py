"""Line endings that git converts (core.autocrlf, the default on Windows) are not edits."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from copier import run_copy, run_update

from gaiaflow.update.snapshot import Snapshot

from tasks.merging import FILE, PROGRAM, Entry, Tree, merge
from tasks.migrations import Joined, Split
from tests.lifecycle import synthetic
from tests.lifecycle.conftest import PRESENT, RELEASES, History, commit, git
from tests.lifecycle.test_properties import report_of, state_of

OLD = b"a\nb\nc\nd\ne\n"
NEW = b"a\nB\nc\nd\ne\n"


def crlf(text: bytes) -> bytes:
    return text.replace(b"\n", b"\r\n")


def tree(data: bytes | None, mode: str = FILE) -> Tree:
    return {} if data is None else {"file": Entry(mode, data)}


@pytest.mark.parametrize(
    ("old", "our", "new", "result", "said"),
    [
        (OLD, crlf(OLD), OLD, crlf(OLD), ""),
        (OLD, crlf(OLD), NEW, crlf(NEW), "updated"),
        (OLD, crlf(OLD), None, None, "removed"),
        (None, crlf(NEW), NEW, crlf(NEW), ""),
        (OLD, crlf(NEW), NEW, crlf(NEW), ""),
        (OLD, crlf(OLD + b"mine\n"), NEW, crlf(NEW + b"mine\n"), "merged"),
        (OLD, crlf(OLD + b"mine\n"), None, crlf(OLD + b"mine\n"), "kept"),
        (crlf(OLD), OLD, crlf(NEW), NEW, "updated"),
        (crlf(OLD), OLD + b"mine\n", crlf(NEW), NEW + b"mine\n", "merged"),
        (OLD, OLD, crlf(NEW), crlf(NEW), "updated"),
        (OLD, b"a\r\nb\nc\nd\ne\n", NEW, NEW, "updated"),
        # a script with CRLF doesn't run
        (b"#!/bin/sh\n", b"#!/bin/sh\r\n", b"#!/bin/sh\n", b"#!/bin/sh\n", "updated"),
        (b"#!x\n1\n", b"#!x\r\n1\r\n", b"#!x\n2\n", b"#!x\n2\n", "updated"),
        (
            b"#!x\n1\n2\n3\n",
            b"#!x\r\n1\r\n2\r\nm\r\n",
            b"#!x\n0\n2\n3\n",
            b"#!x\n0\n2\nm\n",
            "merged",
        ),
    ],
)
def test_line_ends_are_no_change(
    old: bytes | None, our: bytes, new: bytes | None, result: bytes | None, said: str
) -> None:
    made = merge(tree(old), tree(our), tree(new), "1.0.0")
    assert made.tree == tree(result)
    listed = [name for name in ("updated", "removed", "merged", "kept") if getattr(made, name)]
    assert listed == [said] * bool(said)
    assert not made.conflicts


def test_the_mode_is_still_a_change() -> None:
    made = merge(tree(OLD), tree(crlf(OLD), PROGRAM), tree(NEW), "1.0.0")
    assert made.tree == tree(crlf(NEW), PROGRAM) and made.merged == ["file"]


def test_a_file_that_is_split() -> None:
    lines = [b"%d\n" % number for number in range(20)]
    old, our = b"".join(lines), b"".join([*lines[:15], b"mine\n", *lines[15:]])
    for text, found in ((old, old), (our, our)):
        base, ours = tree(old), tree(crlf(text))
        theirs = {"one": Entry(FILE, old[:20]), "two": Entry(FILE, old[20:])}
        Split("file", ["one", "two"]).files(base, ours, theirs)
        made = merge(base, ours, theirs, "1.0.0")
        assert not made.conflicts
        assert {name: entry.data for name, entry in made.tree.items()} == {
            "one": crlf(found[:20]),
            "two": crlf(found[20:]),
        }


def test_lines_of_both_sides_are_joined_once() -> None:
    mine = b"*.tif filter=lfs diff=lfs merge=lfs -text"
    step = Joined("file")
    for our in (mine, mine + b"\n", crlf(mine + b"\n")):
        base, ours, theirs = tree(None), tree(our), tree(OLD + mine + b"\n")
        step.files(base, ours, theirs)
        made = merge(base, ours, theirs, "1.0.0")
        assert made.tree["file"].data.replace(b"\r", b"") == mine + b"\n" + OLD
        assert made.updated == ["file"] and not made.conflicts
    base, ours, theirs = tree(None), tree(None), tree(OLD)
    step.files(base, ours, theirs)
    assert merge(base, ours, theirs, "1.0.0").tree == tree(OLD)


@pytest.fixture
def converting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git as installed on Windows, for all programs of this test."""
    config = tmp_path / "gitconfig"
    config.write_text("[core]\n  autocrlf = true\n[user]\n  name = Test\n  email = t@localhost\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))


def test_a_generated_project_has_lf(history: History, tmp_path: Path, converting: None) -> None:
    project = tmp_path / "project"
    run_copy(
        str(history.path),
        project,
        data={"project_name": "Forest Watch", "setup": "none"},
        vcs_ref=PRESENT,
        defaults=True,
        unsafe=True,
        quiet=True,
    )
    git(tmp_path, "clone", "--quiet", str(project), "clone")
    for folder in (project, tmp_path / "clone"):
        listed = git(folder, "ls-files", "--", "gaiaflow", "dockerfiles", "*_manager.py")
        found = listed.splitlines()
        assert "dockerfiles/postgres/databases.sh" in found
        assert [name for name in found if b"\r\n" in (folder / name).read_bytes()] == []


@pytest.mark.parametrize("to", [PRESENT, pytest.param(synthetic.NEW, marks=pytest.mark.slow)])
def test_an_update_of_a_clone_with_crlf(
    history: History, tmp_path: Path, converting: None, to: str
) -> None:
    """From the last release whose projects had no .gitattributes."""
    assert "0.4.0" in RELEASES
    made = history.generate("0.4.0", tmp_path / "made")
    git(tmp_path, "clone", "--quiet", str(made), "project")
    project = tmp_path / "project"
    shutil.copy(made / ".env", project)
    assert b"\r\n" in (project / "dockerfiles" / "postgres" / "databases.sh").read_bytes()
    mine = project / "gaiaflow" / "errors.py"
    mine.write_bytes(mine.read_bytes().replace(b"import errno", b"import errno  # MINE"))
    moved = project / "gaiaflow" / "project" / "errors.py"
    commit(project, "our work")
    before = state_of(project)
    run_update(str(project), vcs_ref=to, defaults=True, overwrite=True, unsafe=True, quiet=True)

    report = report_of(project)
    assert not report.keys() & {"conflict", "kept", "stay"}, report
    assert report.get("merged", []) in ([], ["gaiaflow/project/errors.py"])
    assert b"import errno  # MINE\r\n" in moved.read_bytes()
    assert b"\r\n" not in (project / "dockerfiles" / "postgres" / "databases.sh").read_bytes()
    fresh = state_of(history.generated(to))
    theirs = {path for path in fresh if path.startswith(("gaiaflow/", "dockerfiles/"))}
    after = state_of(project)
    assert theirs == {path for path in after if path.startswith(("gaiaflow/", "dockerfiles/"))}
    for path in theirs - {"gaiaflow/project/errors.py"}:
        assert after[path][1].replace(b"\r", b"") == fresh[path][1].replace(b"\r", b""), path
    edited = ("diff", "--name-only", "--diff-filter=M", "--", "gaiaflow")
    assert set(git(project, *edited).splitlines()) <= set(report["updated"])
    subprocess.run(["python3", ".gaiaflow/update/undo.py"], cwd=project, check=True)
    assert state_of(project) == before
    assert git(project, "status", "--porcelain") == ""


def test_attributes_of_a_person_are_kept(history: History, tmp_path: Path) -> None:
    """Such as those of Git LFS: without them, large files would end up in git itself."""
    project = history.generate("0.4.0", tmp_path / "project")
    mine = "*.tif filter=lfs diff=lfs merge=lfs -text\n"
    (project / ".gitattributes").write_text(mine)
    commit(project, "our work")
    run_update(
        str(project), vcs_ref=PRESENT, defaults=True, overwrite=True, unsafe=True, quiet=True
    )
    text = (project / ".gitattributes").read_text()
    assert text.startswith(mine) and "/gaiaflow/** text=auto eol=lf\n" in text
    assert "conflict" not in report_of(project)
    Snapshot(project).abort()
    assert (project / ".gitattributes").read_text() == mine


def test_files_of_git_lfs_are_not_copied(history: History, tmp_path: Path) -> None:
    if not shutil.which("git-lfs"):
        pytest.skip("Git LFS is not installed")
    project = history.generate(synthetic.OLD, tmp_path / "project")
    git(project, "lfs", "install", "--local")
    git(project, "lfs", "track", "*.tif")
    (project / "scene.tif").write_bytes(bytes(range(256)) * 1000)
    (project / "table.tif").write_bytes(b"text\r\n" * 1000)  # stored as a pointer with LF
    commit(project, "large files")
    assert "version https://git-lfs" in git(project, "show", "HEAD:scene.tif")
    before = state_of(project)
    run_update(
        str(project), vcs_ref=synthetic.NEW, defaults=True, overwrite=True, unsafe=True, quiet=True
    )
    assert list((project / ".gaiaflow").rglob("*.tif")) == []
    after = state_of(project)
    assert {path: after[path] for path in ("scene.tif", "table.tif")} == {
        path: before[path] for path in ("scene.tif", "table.tif")
    }
    assert ".tif" not in git(project, "status", "--porcelain")
