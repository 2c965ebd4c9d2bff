"""What a task made by `create_task` costs over a bare `@task` on the same running stack."""

from __future__ import annotations

import datetime
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.airflow_api import AirflowApi
from benchmarks.common import Goal, Row, say
from benchmarks.workshop import PACKAGE, Workshop

TASKS = 10

_OURS = f"""
from airflow.sdk import DAG
from gaiaflow import create_task

with DAG("bench_ours", schedule=None):
    tasks = [create_task(f"task_{{i}}", "{PACKAGE}.bench:nothing") for i in range({TASKS})]
    for before, after in zip(tasks, tasks[1:]):
        before >> after
"""

_BARE = f"""
from airflow.sdk import DAG, task

@task
def nothing():
    return None

with DAG("bench_bare", schedule=None):
    tasks = [nothing.override(task_id=f"task_{{i}}")() for i in range({TASKS})]
    for before, after in zip(tasks, tasks[1:]):
        before >> after
"""


@dataclass(frozen=True)
class Cost:
    """Seconds for each task of a run."""

    inside: float  # from the task's start to its end: the median of the tasks
    whole: float  # the wall time of the run, with what lies between tasks

    @property
    def between(self) -> float:
        """The scheduler's part, which should be the same for both."""
        return self.whole - self.inside


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Run chains of tasks that do nothing, one kind and the other in turn."""
    project = workshop.project
    (project / PACKAGE / "bench.py").write_text("def nothing() -> None:\n    pass\n")
    (project / "dags" / "bench_ours.py").write_text(_OURS)
    (project / "dags" / "bench_bare.py").write_text(_BARE)
    costs: dict[str, list[Cost]] = {"bench_ours": [], "bench_bare": []}
    with workshop.running():
        api = AirflowApi(project)
        for turn in range(repeat + 1):
            for dag_id, measured in costs.items():
                cost = run(workshop, project, api, dag_id)
                if turn:  # the first compiles and reads everything
                    measured.append(cost)
                    where = f"{cost.inside:.2f} s a task, {cost.whole:.2f} with what is between"
                    say(f"  task {turn}/{repeat}: {dag_id} {where}")
    ours, bare = (median(measured) for measured in costs.values())
    gap = f"between tasks {ours.between:.2f} and {bare.between:.2f} s"
    goal = Goal("difference", 0.05)
    return [
        Row("create_task, start to end", ours.inside, bare.inside, "bare @task", goal=goal),
        Row(f"run of {TASKS} tasks / {TASKS}", ours.whole, bare.whole, "bare @task", note=gap),
    ]


def run(workshop: Workshop, project: Path, api: AirflowApi, dag_id: str) -> Cost:
    """Run a DAG once, and tell what each of its tasks cost."""
    run_id = json.loads(workshop.manage(project, "run", dag_id, "--json"))["run_id"]
    path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"
    tasks = api.get(f"{path}/taskInstances")["task_instances"]
    # From the first task's start: the scheduler's idle sleep before it is chance.
    begun = min(_moment(task, "start_date") for task in tasks)
    ended = max(_moment(task, "end_date") for task in tasks)
    inside = statistics.median(float(task["duration"]) for task in tasks)
    return Cost(inside, (ended - begun).total_seconds() / len(tasks))


def _moment(item: Mapping[str, Any], name: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(str(item[name]).replace("Z", "+00:00"))


def median(costs: list[Cost]) -> Cost:
    """The middle one of several runs."""
    inside = statistics.median(cost.inside for cost in costs)
    return Cost(inside, statistics.median(cost.whole for cost in costs))
