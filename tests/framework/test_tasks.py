"""create_task: what it refuses, which edges it makes, and what it does not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Param
from airflow.sdk.definitions.xcom_arg import PlainXComArg

from gaiaflow import create_task
from gaiaflow.process_operator import Output, ProcessOperator

from .conftest import TEMPLATE


@pytest.fixture
def dag() -> Any:
    with DAG("pipeline", schedule=None, params={"scene": Param("sample")}) as dag:
        yield dag


@pytest.mark.parametrize(
    "reference", ["", "train", "package.train", "package:", ":train", "a b:c", "a.b:c.d", "a/b:c"]
)
def test_a_bad_reference_is_named(dag: DAG, reference: str) -> None:
    with pytest.raises(ValueError, match="Task 'train': the function should look like") as caught:
        create_task("train", reference)
    assert repr(reference) in str(caught.value)


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), {"a": [b"x"]}])
def test_a_bad_argument_is_named(dag: DAG, value: Any) -> None:
    with pytest.raises(ValueError, match="Task 'train': the argument 'scenes'"):
        create_task("train", "package.train:train", {"scenes": value})


def test_an_unknown_mode_is_named(dag: DAG, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIAFLOW_MODE", "production")
    with pytest.raises(ValueError, match="GAIAFLOW_MODE is 'production'; it can be: dev"):
        create_task("train", "package.train:train")


def test_edges_follow_the_data(dag: DAG) -> None:
    load: Any = create_task("load", "package.load:load", {"scene": dag.param("scene")})
    check: Any = create_task("check", "package.check:check", {"table": load.output})
    train = create_task(
        "train",
        "package.train:train",
        {"tables": [check.output["table"], "other"], "nested": {"deep": load.output["grid"]}},
    )
    report = create_task("report", "package.report:report")
    train >> report
    assert load.downstream_task_ids == {"check", "train"}
    assert check.downstream_task_ids == {"train"}
    assert train.downstream_task_ids == {"report"}


def test_options_reach_the_operator(dag: DAG) -> None:
    task: Any = create_task("train", "package.train:train", retries=3, env={"SEED": "1"})
    assert (task.retries, task.env) == (3, {"SEED": "1"})


# What one task gets of another's result


@pytest.fixture
def output(dag: DAG) -> Output:
    task = create_task("train", "package.train:train")
    assert isinstance(task, ProcessOperator)
    return task.output


def resolve(output: Output, result: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(PlainXComArg, "resolve", lambda *_: result)
    return output.resolve({})


def test_an_entry_of_a_result(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    result = {"model": "models:/m-1", "champion": None}
    assert resolve(output, result, monkeypatch) == result
    assert resolve(output["model"], result, monkeypatch) == "models:/m-1"
    assert resolve(output["champion"], result, monkeypatch) is None  # None is a value too


@pytest.mark.parametrize(
    ("result", "found"),
    [({"model": 1, "run_id": 2}, "model, run_id"), ("models:/m-1", "str"), (None, "NoneType")],
)
def test_a_missing_entry_is_named_with_what_there_is(
    output: Output, monkeypatch: pytest.MonkeyPatch, result: Any, found: str
) -> None:
    with pytest.raises(KeyError, match=rf"the result of train has no 'metrics', but: {found}"):
        resolve(output["metrics"], result, monkeypatch)


# What a DAG file costs

HEAVY = ("docker", "kubernetes", "mlflow", "numpy", "pandas", "sklearn")


def test_reading_a_dag_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "dag.py").write_text(
        "from airflow.sdk import DAG\n"
        "from gaiaflow import create_task\n"
        "with DAG('pipeline', schedule=None):\n"
        "    load = create_task('load', 'package.load:load', {'a': 1})\n"
        "    create_task('train', 'package.train:train', {'table': load.output['table']})\n"
    )
    code = "import sys, dag; print(*sorted(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(TEMPLATE), "AIRFLOW_HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "airflow" in loaded
    assert not loaded & set(HEAVY)
    assert "package" not in loaded  # the user's own code least of all
