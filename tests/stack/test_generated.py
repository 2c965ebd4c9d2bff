"""A generated project passes its own checks, in its own environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT

from .conftest import Project, execute, person

ROOMS = ("monitoring", "promotion", "rasters", "serving", "stac")  # of the project's environment
PLACES = ("template/gaiaflow", "tests")


@pytest.mark.parametrize(
    "command",
    [
        "ruff check",
        "ruff format --check",
        pytest.param("mypy", marks=pytest.mark.slow),
        "pytest -q -p no:cacheprovider",
    ],
)
def test_checks(stack: Project, command: str) -> None:
    tool, *options = command.split()
    done = execute(stack.python.with_name(tool), *options, cwd=stack.root)
    assert done.code == 0, done


@pytest.mark.parametrize(
    "room",
    [
        pytest.param(room, marks=pytest.mark.slow if room == "promotion" else ())  # two MLflows
        for room in ROOMS
    ],
)
def test_rooms_of_the_projects_environment(judged: Project, room: str) -> None:
    """The parts of the framework that need the project's environment, in it."""
    # The options of this repository's own tests need xdist.
    here = (f"--confcutdir=tests/{room}", "--override-ini=pythonpath=template")
    options = ("-q", "-p", "no:cacheprovider", "--override-ini=addopts=", *here, f"tests/{room}")
    done = execute(judged.python, "-m", "pytest", *options, cwd=ROOT)
    assert done.code == 0, done
    assert " passed" in done.out and " skipped" not in done.out, done


def test_types_of_these_rooms(stack: Project, tmp_path: Path) -> None:
    rooms = [f"{place}/{room}" for room in ROOMS for place in PLACES]
    mypy = (stack.python, "-m", "mypy", f"--cache-dir={tmp_path}")
    done = execute(*mypy, *rooms, cwd=ROOT, env=person(MYPYPATH="template"))
    assert done.code == 0, done


def test_a_model_is_served_without_a_stack(stack: Project) -> None:
    """As CI does in the project's image: tests/containers/test_build.py."""
    done = execute(stack.python, "-m", "gaiaflow.smoke", cwd=stack.root)
    assert done.code == 0, done
    assert "The served model answers: Urban" in done.out
    assert "Trained by forest_watch.train.sample" in done.err


@pytest.mark.slow
def test_a_project_without_a_sample_serves_a_tiny_model(stack: Project) -> None:
    sample = stack.root / "forest_watch" / "train" / "sample.py"
    hidden = sample.rename(sample.with_suffix(".hidden"))
    try:
        done = execute(stack.python, "-m", "gaiaflow.smoke", cwd=stack.root)
    finally:
        hidden.rename(sample)
    assert done.code == 0, done
    assert "no module forest_watch.train.sample" in done.err


def test_git_ignores_all_that_programs_make(stack: Project) -> None:
    shown = execute("git", "status", "--porcelain", cwd=stack.root).out.splitlines()
    assert set(shown) <= {"?? uv.lock"}  # made by the first start, and the user's to commit
