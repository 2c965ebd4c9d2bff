"""Many pods at once: a mapped task holds no more than the pool's slots, and leaves no pod.

GAIAFLOW_TEST_TASKS and GAIAFLOW_TEST_SLOTS make it a load test; docs/explanation/scale.md has what
1000 and 200 gave. The pods are simulated: they run nothing (tests/kubernetes/simulated.py).
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.kubernetes import running_double

from .conftest import Generate
from .team import Repository, TeamAirflow, bundle

TASKS = int(os.environ.get("GAIAFLOW_TEST_TASKS", "30"))
SLOTS = int(os.environ.get("GAIAFLOW_TEST_SLOTS", "10"))
MEMORY = 1024  # MiB, the limit of the triggerer in deploy/airflow/values.yaml
DAG = f"""
from airflow.sdk import DAG
from gaiaflow import create_task

with DAG("load", schedule=None):
    create_task("scene", "load.maps:draw").expand(number=list(range({TASKS})))
"""


def test_a_mapped_task_stays_within_its_slots(
    environment: Path, account: Path, generate: Generate, tmp_path: Path
) -> None:
    python, cluster = environment / "bin" / "python", account.parent
    project, _ = generate("load", package_name="load", show_examples="false", deploy="kubernetes")
    repository = Repository("load", project.root, tmp_path, python)
    repository.write_dag(DAG)
    repository.release("v1", f"ghcr.io/team/load@sha256:{'1' * 64}")
    hold = cluster / "hold"
    hold.touch()
    with running_double(python, cluster, "simulated.py"):
        api = ("127.0.0.1", (account / "port").read_text())
        bundles = [bundle(repository, "deploy/prod")]
        airflow = TeamAirflow(tmp_path / "airflow", environment, bundles, api, slots=SLOTS)
        with airflow.running():
            airflow.wait_for_dag("load")
            run = airflow.trigger("load")
            limit = 30.0 * TASKS
            airflow.wait_for(lambda: airflow.count("load", run, "deferred") == SLOTS, limit)
            memory = airflow.memory("triggerer")
            hold.unlink()
            airflow.wait_for(lambda: airflow.count("load", run, "success") == TASKS, limit)
    pods = (cluster / "pods.log").read_text(encoding="utf-8").splitlines()
    assert most_at_once(pods) == SLOTS
    assert len(pods) == 2 * TASKS
    assert memory < MEMORY


def most_at_once(log: list[str]) -> int:
    """How many pods existed at the same time, at most."""
    now = most = 0
    for line in log:
        now += 1 if line.startswith("made ") else -1
        most = max(most, now)
    assert now == 0, "pods are left"
    return most
