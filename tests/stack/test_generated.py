"""A generated project passes its own checks, in its own environment."""

from __future__ import annotations

import pytest

from .conftest import Project, execute


@pytest.mark.parametrize(
    "command",
    ["ruff check", "ruff format --check", "mypy", "pytest -q -p no:cacheprovider"],
)
def test_checks(stack: Project, command: str) -> None:
    tool, *options = command.split()
    done = execute(stack.python.with_name(tool), *options, cwd=stack.root)
    assert done.code == 0, done


def test_git_ignores_all_that_programs_make(stack: Project) -> None:
    shown = execute("git", "status", "--porcelain", cwd=stack.root).out.splitlines()
    assert set(shown) <= {"?? uv.lock"}  # made by the first start, and the user's to commit
