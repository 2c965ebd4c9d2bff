"""The commit of a project, read as git stores it, and whether files differ from it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gaiaflow.project.source import commit, is_dirty, state


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Test", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "Wälder"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=feature/a")
    assert state(root) == {"GAIAFLOW_COMMIT": "", "GAIAFLOW_DIRTY": ""}  # there is none yet
    git(root, "commit", "--quiet", "--allow-empty", "--message=one")
    return root


def test_a_branch(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert commit(repository) == head
    git(repository, "pack-refs", "--all")
    assert commit(repository) == head


def test_a_tag_that_is_checked_out(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "--detach")
    assert commit(repository) == git(repository, "rev-parse", "HEAD")


def test_a_folder_of_a_larger_repository(repository: Path) -> None:
    inner = repository / "projects" / "one"
    inner.mkdir(parents=True)
    assert commit(inner) == git(repository, "rev-parse", "HEAD")


def test_a_worktree(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "other"))
    git(tmp_path / "other", "commit", "--quiet", "--allow-empty", "--message=two")
    assert commit(tmp_path / "other") == git(tmp_path / "other", "rev-parse", "HEAD")
    assert commit(tmp_path / "other") != commit(repository)


def test_no_repository(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("nonsense")
    assert commit(tmp_path) == ""


def test_changes_make_it_dirty(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook of another repository
    inner, other = repository / "projects" / "one", repository / "projects" / "other"
    for folder in (inner, other):
        folder.mkdir(parents=True)
        (folder / ".gitignore").write_text("/data\n")
    monkeypatch.delenv("GIT_DIR")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message=two")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    (inner / "data").touch()  # is ignored
    (other / "new.py").touch()  # is another project's
    assert is_dirty(inner) is False
    (inner / "new.py").touch()
    assert is_dirty(inner) is True
    head = commit(inner)
    assert state(inner) == {"GAIAFLOW_COMMIT": head, "GAIAFLOW_DIRTY": "true"}
    (inner / "new.py").unlink()
    (inner / ".gitignore").write_text("/data\n# more\n")
    assert is_dirty(inner) is True


def test_git_that_cannot_tell(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # "dubious ownership"
    assert is_dirty(repository) is None
    monkeypatch.setenv("PATH", "")
    assert is_dirty(repository) is None
    assert state(repository)["GAIAFLOW_DIRTY"] == ""
    assert commit(repository)
