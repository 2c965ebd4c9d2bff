"""Warm tasks on real services: forks of one server, in Airflow and after `run`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from benchmarks.airflow_api import AirflowApi

from .conftest import Project, has_ended, wait_for

DAG = """
from airflow.sdk import DAG
from gaiaflow import create_task

with DAG("warm", schedule=None):
    for number in range(3):
        create_task(f"task_{number}", "forest_watch.utils.warm:about")
"""
FUNCTIONS = """
import os

import numpy as np

def about():
    return {"parent": os.getppid(), "chance": float(np.random.random())}
"""


@pytest.fixture
def written(running: Project) -> Iterator[Project]:
    functions = running.root / "forest_watch" / "utils" / "warm.py"
    dag = running.root / "dags" / "warm.py"
    functions.write_text(FUNCTIONS, encoding="utf-8")
    dag.write_text(DAG, encoding="utf-8")
    yield running
    dag.unlink()
    functions.unlink()


def results(project: Project) -> list[dict[str, Any]]:
    """Run the DAG, and return what its tasks found."""
    run = project.manage("run", "warm", "--json").json()
    assert run["state"] == "success"
    tasks = f"/dags/warm/dagRuns/{quote(run['run_id'], safe='')}/taskInstances"
    result = "xcomEntries/return_value?stringify=false"
    api = AirflowApi(project.root)
    return [api.get(f"{tasks}/task_{number}/{result}")["value"] for number in range(3)]


def warm_up(project: Project) -> None:
    """Run the DAG, which starts the server; its own tasks don't wait for that."""
    assert project.manage("run", "warm").code == 0
    wait_for(lambda: "Warm tasks: ready" in project.manage("status").out)


def test_tasks_are_forks_of_one_server(written: Project) -> None:
    warm_up(written)
    found = results(written)
    [parent] = {task["parent"] for task in found}
    server = psutil.Process(parent)
    assert "gaiaflow.warm" in server.cmdline()
    assert server.environ()["GAIAFLOW_SERVICE"] == "airflow-scheduler"  # ends with it
    assert len({task["chance"] for task in found}) == 3

    # An edit counts at once, and the server stays.
    functions = written.root / "forest_watch" / "utils" / "warm.py"
    functions.write_text(FUNCTIONS.replace("np.random.random()", "7"), encoding="utf-8")
    assert [task["chance"] for task in results(written)] == [7.0] * 3
    assert [task["parent"] for task in results(written)] == [parent] * 3


def test_a_new_scheduler_gets_a_new_server(written: Project) -> None:
    warm_up(written)
    [before] = {task["parent"] for task in results(written)}
    server = psutil.Process(before)
    done = written.manage("restart", "--service", "airflow-scheduler")
    assert done.code == 0, done
    assert has_ended(server)
    with written.in_background("run", "warm"):
        wait_for(lambda: "Warm tasks: ready" in written.manage("status").out)
    assert before not in {task["parent"] for task in results(written)}


def test_the_example_needs_no_package_that_is_left_out(running: Project) -> None:
    assert running.manage("run", "landcover").code == 0
    wait_for(lambda: "Warm tasks: ready\n" in running.manage("status").out)
