"""`setup=start`: from one command to a green pipeline."""

from __future__ import annotations

import re

from .conftest import Generate, execute


def test_from_one_command_to_a_green_pipeline(generate: Generate) -> None:
    # Default ports: somebody may have them, and then they move.
    project, done = generate("Schneehöhe", setup="start")
    assert re.search(r"The example is green, \d+ s after `copier copy` began\.", done.err), done
    project.assert_all_is_healthy()

    listed = execute("git", "ls-files", cwd=project.root).out.splitlines()
    assert "uv.lock" in listed
    assert ".env" not in listed
    log = execute("git", "log", "--oneline", cwd=project.root).out.splitlines()
    assert len(log) == 1
    status = execute("git", "status", "--porcelain", cwd=project.root)
    assert (status.code, status.out) == (0, "")

    assert project.manage("stop").code == 0
    project.assert_nothing_is_left()
