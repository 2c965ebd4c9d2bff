"""Many pods at once, which don't exceed the pool's slots, and many projects in one Airflow.

GAIAFLOW_TEST_TASKS, _SLOTS and _PROJECTS make these load tests, whose numbers are in `load.json` of
their folders. The pods are simulated: they run nothing (tests/kubernetes/simulated.py).
docs/explanation/scale.md says what the numbers mean.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from pathlib import Path

from tests.kubernetes import running_double

from .conftest import Generate
from .team import Repository, TeamAirflow, bundle

TASKS = int(os.environ.get("GAIAFLOW_TEST_TASKS", "24"))
SLOTS = int(os.environ.get("GAIAFLOW_TEST_SLOTS", "8"))
PROJECTS = int(os.environ.get("GAIAFLOW_TEST_PROJECTS", "2"))
DAGS = 4  # of each project, as many as the example has
MEMORY = 1024  # MiB, the limit of the triggerer in deploy/airflow/values.yaml
DAG = """
from airflow.sdk import DAG
from gaiaflow import create_task

with DAG("{name}", schedule=None):
    create_task("scene", "load.maps:draw").expand(number=list(range({tasks})))
"""
IMAGE = f"ghcr.io/team/load@sha256:{'1' * 64}"


def test_a_mapped_task_stays_within_its_slots(
    environment: Path, account: Path, generate: Generate, tmp_path: Path
) -> None:
    python, cluster = environment / "bin" / "python", account.parent
    project, _ = generate("load", package_name="load", show_examples="false", deploy="kubernetes")
    repository = Repository("load", project.root, tmp_path, python)
    repository.write_dags(DAG.format(name="load", tasks=TASKS))
    repository.release("v1", IMAGE)
    hold = cluster / "hold"
    hold.touch()
    with running_double(python, cluster, "simulated.py"):
        api = ("127.0.0.1", (account / "port").read_text())
        bundles = [bundle(repository, "deploy/prod")]
        airflow = TeamAirflow(
            tmp_path / "airflow", environment, bundles, api, slots=SLOTS, parallelism=8
        )
        with airflow.running():
            airflow.wait_for_dag("load")
            rows, cpu = airflow.rows(), airflow.cpu()
            began, limit = time.monotonic(), 60.0 + 20.0 * TASKS
            run = airflow.trigger("load")
            airflow.wait_for(lambda: airflow.count("load", run, "deferred") == SLOTS, limit)
            deferred, memory = time.monotonic(), airflow.memory("triggerer")
            hold.unlink()
            airflow.wait_for(lambda: airflow.count("load", run, "success") == TASKS, limit)
            ended = time.monotonic()
            more_rows, more_cpu = Counter(airflow.rows()), airflow.cpu()
    pods = (cluster / "pods.log").read_text(encoding="utf-8").splitlines()
    calls = Counter((cluster / "calls.log").read_text(encoding="utf-8").splitlines())
    numbers = {
        "tasks": TASKS,
        "deferred at once": SLOTS,
        "triggerer, MiB": round(memory),
        "pods at once": most_at_once(pods),
        "seconds until all slots are deferred": round(deferred - began),
        "seconds for the others and the ends of all": round(ended - deferred),
        "seconds of CPU": {name: round(more_cpu[name] - cpu[name], 1) for name in more_cpu},
        "new rows": more_rows - Counter(rows),
        "calls of the API": calls,
    }
    (tmp_path / "load.json").write_text(json.dumps(numbers, indent=2), encoding="utf-8")
    assert most_at_once(pods) == SLOTS
    assert len(pods) == 2 * TASKS
    assert memory < MEMORY


def test_many_projects_share_a_dag_processor(
    environment: Path, generate: Generate, tmp_path: Path
) -> None:
    """All DAGs arrive, and are parsed again."""
    python = environment / "bin" / "python"
    project, _ = generate("load", package_name="load", show_examples="false", deploy="kubernetes")
    bundles, dags = [], set[str]()
    for number in range(PROJECTS):
        name = f"project{number}"
        root = shutil.copytree(project.root, tmp_path / "clones" / name, symlinks=True)
        repository = Repository(name, root, tmp_path, python)
        names = [f"{name}_{part}" for part in range(DAGS)]
        repository.write_dags(*(DAG.format(name=each, tasks=24) for each in names))
        repository.release("v1", IMAGE)
        bundles.append(bundle(repository, "deploy/prod"))
        dags.update(names)
    airflow = TeamAirflow(tmp_path / "airflow", environment, bundles, ("127.0.0.1", "1"))

    def parsed() -> dict[str, str]:
        found = airflow.api.get("/dags?limit=100")["dags"]
        times = {dag["dag_id"]: dag["last_parsed_time"] for dag in found}
        return times if times.keys() == dags else {}

    began = time.monotonic()
    with airflow.running():
        started = time.monotonic()
        first = airflow.wait_for(parsed, 60.0 + 20.0 * PROJECTS)
        arrived, cpu = time.monotonic(), airflow.cpu()["dag-processor"]

        def again() -> bool:
            times = parsed()
            return bool(times) and all(times[dag] > first[dag] for dag in dags)

        airflow.wait_for(again, 120.0 + 20.0 * PROJECTS)
        numbers = {
            "projects": PROJECTS,
            "DAG files": len(dags),
            "seconds until Airflow answers": round(started - began),
            "seconds until all DAGs are there": round(arrived - started),
            "seconds until all are parsed again": round(time.monotonic() - arrived),
            "seconds of CPU for that": round(airflow.cpu()["dag-processor"] - cpu, 1),
            "dag-processor, MiB": round(airflow.memory("dag-processor")),
        }
        errors = airflow.api.get("/importErrors")["import_errors"]
    (tmp_path / "load.json").write_text(json.dumps(numbers, indent=2), encoding="utf-8")
    assert not errors


def most_at_once(log: list[str]) -> int:
    """How many pods existed at the same time, at most."""
    now = most = 0
    for line in log:
        now += 1 if line.startswith("made ") else -1
        most = max(most, now)
    assert now == 0, "pods are left"
    return most
