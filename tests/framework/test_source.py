"""The commit of a project, read as git stores it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gaiaflow.project.source import commit


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
    assert commit(root) == ""  # there is none yet
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
