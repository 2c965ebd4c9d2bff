"""Every pipeline in dags/ loads in Airflow, and its functions accept their arguments.

A misspelled name fails here, not at night.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gaiaflow.testing import has_airflow, load_dags, load_function

FILES = sorted((Path(__file__).parents[1] / "dags").rglob("*.py"))


@pytest.fixture(scope="session")
def found() -> Any:
    """All DAGs as Airflow loads them, and the problems it has with files."""
    if not has_airflow():
        pytest.skip("Airflow is not installed yet: python3 mlops_manager.py start")
    return load_dags(FILES)


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
    assert str(path) in files or reads_yaml, f"{path.name} defines no DAG"


def test_tasks_have_an_owner_and_are_tried_again(found: Any) -> None:
    for name, task in tasks_of(found):
        assert task["owner"], f"{name} has no owner: set it in the DAG's default_args"
        assert task["retries"] >= 1, f"{name} has no retries: set them in default_args"


def test_functions_exist_and_accept_their_arguments(found: Any) -> None:
    for name, task in tasks_of(found):
        if task["function"]:
            function = load_function(task["function"])
            try:
                inspect.signature(function).bind(**dict.fromkeys(task["arguments"]))
            except TypeError as error:
                pytest.fail(f"{name} can't call {task['function']}: {error}")
