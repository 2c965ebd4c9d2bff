"""Tasks of mode `dev`, as real processes without Airflow's services."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from airflow.sdk.exceptions import AirflowFailException

from gaiaflow import create_task
from gaiaflow.operators import process

from .conftest import TEMPLATE

MODULE = """
import os, signal, subprocess, sys, time

def wrong():
    raise ValueError("too many clouds")

def out_of_reach():
    raise ConnectionError("the archive does not answer")

def deaf(file):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    command = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", command])
    with open(file + ".part", "w") as pids:
        pids.write(f"{os.getpid()} {child.pid}")
    os.replace(file + ".part", file)
    while True:
        time.sleep(0.1)
"""

CONTEXT: Any = {
    "ti": SimpleNamespace(dag_id="dag", run_id="run", task_id="task", try_number=1, map_index=-1)
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in miniature, with the framework in it, as tasks of mode `dev` find it."""
    root = tmp_path / "project"
    shutil.copytree(TEMPLATE / "gaiaflow", root / "gaiaflow", ignore=shutil.ignore_patterns("__*"))
    (root / "gaiaflow" / "__init__.py").write_text('__version__ = "0"', encoding="utf-8")
    (root / "mine.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.setenv("GAIAFLOW_PYTHON", sys.executable)
    monkeypatch.setattr(process, "ROOT", root)
    return root


def test_a_data_error_is_not_tried_again(project: Path) -> None:
    with pytest.raises(AirflowFailException, match="mine:wrong failed: see above"):
        create_task("wrong", "mine:wrong").execute(CONTEXT)


def test_an_error_that_may_pass_is(project: Path) -> None:
    with pytest.raises(RuntimeError, match="mine:out_of_reach failed with exit code 1"):
        create_task("out_of_reach", "mine:out_of_reach").execute(CONTEXT)


def test_arguments_that_cannot_travel_are_not_tried_again(project: Path) -> None:
    task: Any = create_task("wrong", "mine:wrong", {"scene": "s"})
    task.function_arguments["scene"] = object()  # as of another task that is not of ours
    with pytest.raises(AirflowFailException, match="'scene' in the arguments is not a JSON value"):
        task.execute(CONTEXT)


def test_nothing_is_left_of_a_function_whose_time_is_up(project: Path, tmp_path: Path) -> None:
    """Not even of one that takes no hint, and of what it has started: its retry would meet it."""
    file = tmp_path / "pids"
    task: Any = create_task("deaf", "mine:deaf", {"file": str(file)})
    ended: list[BaseException] = []

    def work() -> None:
        try:
            task.execute(CONTEXT)
        except BaseException as error:
            ended.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    processes = [psutil.Process(int(pid)) for pid in file.read_text().split()]
    task.on_kill()
    _, alive = psutil.wait_procs(processes, timeout=10)  # all have been killed by now
    assert not alive
    worker.join(60)
    assert "failed with exit code -9" in str(ended[0])


def test_there_is_nothing_to_end_before_it_began(project: Path) -> None:
    task: Any = create_task("wrong", "mine:wrong")
    task.on_kill()
