"""README's first command: from an empty home to a green pipeline."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Project, execute, person

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Where the command makes its project; whatever becomes of it, nothing of it goes on."""
    project = Project(tmp_path / "Schnee höhe" / "my-project")
    project.root.parent.mkdir()
    yield project
    for process in project.processes():
        process.kill()


def test_from_readmes_command_to_a_green_pipeline(
    uv: str, copier_template: Path, project: Project, tmp_path: Path
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^python3 -m venv .*$", readme, re.MULTILINE)
    # All as it stands there, but from this repository instead of GitHub.
    for theirs, ours in (
        ("git+https://github.com/bcdev/gaiaflow", ROOT),
        ("gh:bcdev/gaiaflow", copier_template),
    ):
        assert theirs in command
        command = command.replace(theirs, shlex.quote(str(ours)))
    home = tmp_path / "home"
    home.mkdir()
    cache = execute(uv, "cache", "dir", cwd=home).out.strip()
    path = f"{Path(sys.executable).parent}:{person()['PATH']}"
    env = person(HOME=str(home), PATH=path, UV_CACHE_DIR=cache)
    done = execute("bash", "-c", command, cwd=project.root.parent, env=env)
    assert done.code == 0, done
    # Default ports: somebody may have them, and then they move.
    assert re.search(r"The example is green, \d+ s after the files were written\.", done.err), done
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
