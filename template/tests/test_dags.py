"""Every pipeline in dags/ loads in Airflow, and its functions can be called as it calls them.

So a name that is misspelt fails here, and not at night.
"""

import inspect
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gaiaflow import runner

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "dags").rglob("*.py"))

# Airflow lives in an environment of its own, so its interpreter loads the files.
PYTHON = ROOT / ".gaiaflow" / "airflow" / "bin" / "python"


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All DAGs as Airflow has loaded them, and what it could not load."""
    if not PYTHON.exists():
        pytest.skip("no Airflow yet: python3 mlops_manager.py start")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "GAIAFLOW_MODE": "dev",
        "PYTHONPATH": str(ROOT),
    }
    command = [str(PYTHON), "-m", "gaiaflow.dag_report", *map(str, FILES)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def tasks_of(found: Any) -> Iterator[tuple[str, Any]]:
    for dag_id, made in found["dags"].items():
        for dag in made:
            for task_id, task in dag["tasks"].items():
                yield f"{task_id} of {dag_id}", task


def test_dags_load_and_have_no_cycle(found: Any) -> None:
    assert not found["problems"], "\n".join(found["problems"].values())


def test_ids_are_used_once(found: Any) -> None:
    for dag_id, made in found["dags"].items():
        assert len(made) == 1, f"{dag_id} is in {' and '.join(dag['file'] for dag in made)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_a_file_has_a_dag(found: Any, path: Path) -> None:
    files = {dag["file"] for made in found["dags"].values() for dag in made}
    reads_yaml = "load_yaml_pipelines" in path.read_text(encoding="utf-8")
    assert str(path) in files or reads_yaml, f"{path.name} makes no DAG"


def test_tasks_have_an_owner_and_are_tried_again(found: Any) -> None:
    for name, task in tasks_of(found):
        assert task["owner"], f"{name} has no owner: set it in the DAG's default_args"
        assert task["retries"] >= 1, f"{name} is not tried again: set retries in default_args"


def test_functions_exist_and_accept_their_arguments(found: Any) -> None:
    for name, task in tasks_of(found):
        if task["function"]:
            function = runner.load(task["function"])
            try:
                inspect.signature(function).bind(**dict.fromkeys(task["arguments"]))
            except TypeError as error:
                pytest.fail(f"{name} can't call {task['function']}: {error}")
