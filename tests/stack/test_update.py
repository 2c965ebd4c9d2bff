"""An update of a project whose services run, and the way back."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Project, execute, person

Files = dict[str, tuple[int, int] | bytes]


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    done = execute("git", *who, *arguments, cwd=folder)
    assert done.code == 0, done
    return done.out


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def files_of(project: Project) -> Files:
    """All files, ignored ones and the environment's too; of the latter, size and time."""
    found: Files = {}
    for path in project.root.rglob("*"):
        name = path.relative_to(project.root).as_posix()
        if not path.is_file() or "__pycache__" in name or name.startswith((".git/", ".gaiaflow/")):
            continue
        stat = path.stat()
        in_venv = name.startswith(".venv/")
        found[name] = (stat.st_size, stat.st_mtime_ns) if in_venv else path.read_bytes()
    return found


@pytest.fixture
def outdated(running: Project, copier_template: Path, tmp_path: Path) -> Iterator[Project]:
    """The shared project, committed, and a newer release that wants one package more."""
    template = tmp_path / "Vorlage ü"
    shutil.copytree(copier_template, template)
    errors = template / "template" / "gaiaflow" / "project" / "errors.py"
    replace(errors, "class Gaia", "# newer\nclass Gaia")
    replace(
        template / "template" / "pyproject.toml.jinja",
        '    "boto3>=',
        '    "humanize>=2",\n    "boto3>=',
    )
    git(template, "commit", "--all", "--message", "newer")
    git(template, "tag", "100.0.0")
    answers = running.root / ".copier-answers.yml"
    before, head = answers.read_bytes(), git(running.root, "rev-parse", "HEAD").strip()
    replace(answers, str(copier_template), str(template))
    git(running.root, "add", "--all")
    git(running.root, "commit", "--quiet", "--message", "our work")
    yield running
    running.manage("update", "--abort")  # if the test has not come so far
    git(running.root, "reset", "--quiet", head)
    answers.write_bytes(before)


@pytest.mark.slow
def test_an_update_of_a_running_project(outdated: Project, tmp_path: Path) -> None:
    assert outdated.manage("run", "landcover").code == 0
    before, pids = files_of(outdated), outdated.pids()
    objects, tracked = outdated.probe("products"), outdated.probe("tracking")
    path = f"{Path(sys.executable).parent}:{person()['PATH']}"  # where Copier is

    done = outdated.manage("update", PATH=path)
    assert done.code == 0, done
    assert "Services are running: restarting them" in done.err
    outdated.assert_all_is_healthy()
    assert not set(pids.values()) & set(outdated.pids().values())
    assert execute(outdated.python, "-c", "import humanize", cwd=tmp_path).code == 0
    assert (outdated.probe("products"), outdated.probe("tracking")) == (objects, tracked)

    done = outdated.manage("update", "--abort", PATH=path)
    assert done.code == 0, done
    assert files_of(outdated) == before
    assert git(outdated.root, "status", "--porcelain") == ""
    outdated.assert_all_is_healthy()
    assert (outdated.probe("products"), outdated.probe("tracking")) == (objects, tracked)
