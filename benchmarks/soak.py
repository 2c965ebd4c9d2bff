"""Hundreds of runs of a small DAG: what they leave behind in memory and in processes."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import quote

from benchmarks.airflow_api import AirflowApi
from benchmarks.common import CannotMeasure, Goal, Row, say
from benchmarks.workshop import PACKAGE, Workshop, marked, pss

RUNS = 500
WARM_UP = 30  # runs, after which every process has imported what it needs
SETTLE = 20.0  # seconds from the last run to idle
LIMIT = 60.0  # seconds for a run

_DAG = f"""
from airflow.sdk import DAG
from gaiaflow import create_task

with DAG("bench_soak", schedule=None) as dag:
    before = create_task("before", "{PACKAGE}.soak:small")
    after = create_task("after", "{PACKAGE}.soak:small", {{"rows": before.output["rows"]}})
"""
_FUNCTION = """
import numpy as np

def small(rows=100):
    return {"rows": int(np.ones((rows, 1000)).sum() / 1000)}
"""


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Compare the memory (PSS) of the stack after a few and after hundreds of runs."""
    project = workshop.project
    (project / PACKAGE / "soak.py").write_text(_FUNCTION, encoding="utf-8")
    (project / "dags" / "bench_soak.py").write_text(_DAG, encoding="utf-8")
    with workshop.running():
        workshop.manage(project, "run", "bench_soak")
        api = AirflowApi(project)
        run(api, WARM_UP)
        few, few_processes = memory(project)
        run(api, RUNS)
        many, processes = memory(project)
    return [
        Row(
            f"the stack after {RUNS} runs, PSS",
            many,
            few,
            f"after {WARM_UP}",
            "GiB",
            Goal("ratio", 1.05),
            f"{processes} processes, and {few_processes}",
        )
    ]


def run(api: AirflowApi, times: int) -> None:
    """Run the DAG so many times, one run after the other."""
    for number in range(1, times + 1):
        path = "/dags/bench_soak/dagRuns"
        run_id = api.post(path, {"logical_date": None})["dag_run_id"]
        deadline = time.monotonic() + LIMIT
        while (state := api.get(f"{path}/{quote(run_id, safe='')}")["state"]) != "success":
            if state == "failed" or time.monotonic() > deadline:
                raise CannotMeasure(f"Run {number} of bench_soak is {state}.")
            time.sleep(0.1)
        if number % 50 == 0:
            say(f"  soak: {number} of {times} runs")


def memory(project: Path) -> tuple[float, int]:
    """The memory of all processes of the idle stack in GiB, and how many they are."""
    time.sleep(SETTLE)
    found = marked("GAIAFLOW_PROJECT", str(project))
    return pss(found), len(found)
