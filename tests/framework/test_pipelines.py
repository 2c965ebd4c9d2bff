"""What a person is told of a run, and of a DAG file that does not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gaiaflow.airflow_client import Airflow, Task, import_error_text, overview
from gaiaflow.project.project import prepare

ROOT = Path("/home/me/Wälder (alt)")
DAG = ROOT / "dags" / "landcover.py"
FRAME = '  File "{}", line {}, in <module>\n    ...\n'
AIRFLOW = FRAME.format("/home/me/Wälder (alt)/.gaiaflow/airflow/lib/python3.11/x.py", 7)


def trace(*frames: tuple[str, int], message: str = "NameError: name 'x' is not defined") -> str:
    lines = "".join(FRAME.format(file, line) for file, line in frames)
    return f"Traceback (most recent call last):\n{lines}{message}\n"


@pytest.mark.parametrize(
    ("frames", "where"),
    [
        ([(str(DAG), 12)], "dags/landcover.py, line 12"),
        ([("/usr/lib/importlib.py", 1), (str(DAG), 12)], "dags/landcover.py, line 12"),
        ([(str(DAG), 3), (str(ROOT / "utils" / "a b.py"), 8)], "utils/a b.py, line 8"),
        ([("/usr/lib/importlib.py", 1)], "dags/landcover.py"),
        ([], "dags/landcover.py"),
    ],
)
def test_place_and_message(frames: list[tuple[str, int]], where: str) -> None:
    first, _, rest = import_error_text(ROOT, DAG, trace(*frames)).partition("\n")
    assert first == f"{where}: NameError: name 'x' is not defined"
    assert "until this is fixed" in rest


def test_the_users_file_counts_and_not_the_framework_beneath() -> None:
    """A wrong call of create_task is a mistake in the DAG file, not in ours."""
    frames = [
        (str(DAG), 12),
        (str(ROOT / "gaiaflow" / "tasks.py"), 60),
        (str(ROOT / ".gaiaflow" / "airflow" / "lib" / "airflow" / "sdk.py"), 7),
    ]
    text = import_error_text(ROOT, DAG, trace(*frames, message="ValueError: Task 'a': ..."))
    assert text.startswith("dags/landcover.py, line 12: ValueError: Task 'a': ...")


@pytest.mark.parametrize("module", ["rasterio", "rasterio.windows"])
def test_an_import_that_belongs_into_the_package(module: str) -> None:
    text = import_error_text(
        ROOT, DAG, trace(message=f"ModuleNotFoundError: No module named '{module}'")
    )
    assert "DAG files run in Airflow's environment, and rasterio is not in it." in text
    assert "Import it inside the function of your package" in text


def test_a_misspelt_module_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "forest_watch").mkdir()
    message = "ModuleNotFoundError: No module named 'forest_watch.trian'"
    text = import_error_text(tmp_path, tmp_path / "dags" / "a.py", trace(message=message))
    assert "Airflow's environment" not in text


def test_dag_report_says_so_too(bare_project: Path) -> None:
    """It is what the tests of a project read."""
    file = bare_project / "dags" / "a.py"
    file.parent.mkdir()
    file.write_text("import no_such_module\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-B", "-m", "gaiaflow.dag_report", str(file)],
        cwd=bare_project,
        env={**os.environ, "PYTHONPATH": str(bare_project)},
        capture_output=True,
        text=True,
        check=True,
    )
    [problem] = json.loads(done.stdout.splitlines()[-1])["problems"].values()
    assert "Airflow's environment, and no_such_module is not in it" in problem


def mapped(*states: str) -> list[Task]:
    return [Task("map", state, 1, index, None) for index, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        (["success"] * 200, ("success", "200 of 200")),
        (["success"] * 3 + ["running"] * 4, ("running", "3 of 7, 4 running")),
        (["scheduled"] * 7, ("scheduled", "0 of 7, 7 scheduled")),
        (["success", "queued"], ("running", "1 of 2, 1 queued")),
        (["success", "failed"], ("failed", "2 of 2, 1 failed")),
        (["failed", "running"], ("running", "1 of 2, 1 failed, 1 running")),
        (["skipped", "success"], ("success", "2 of 2, 1 skipped")),
        (["upstream_failed"], ("upstream_failed", "1 of 1, 1 upstream_failed")),
    ],
)
def test_mapped_tasks_are_counted(states: list[str], shown: tuple[str, str]) -> None:
    tasks = [Task("search", "success", 1, -1, 0.5), *mapped(*states)]
    assert list(overview(tasks)) == [("search", "success", ""), ("map", *shown)]


def test_a_file_of_the_future_was_changed_now_at_the_latest(project_root: Path) -> None:
    """As from an archive, or from a machine whose clock is wrong."""
    airflow = Airflow(prepare(project_root))
    file = project_root / "dag.py"
    file.touch()
    future = time.time() + 3600
    os.utime(file, (future, future))
    assert airflow._unchanged_since(file, time.time() + 1)
    assert not airflow._unchanged_since(file, time.time() - 1)
