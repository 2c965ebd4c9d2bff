"""The original's DAG files are rewritten for Airflow 3; everything else is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.adoption import dags, task_factory

OPERATORS = b"""from __future__ import annotations

from airflow import DAG
from airflow.operators.python import PythonOperator
from peat import first, helper as again  # ours

with DAG("maps", schedule_interval=None):
    one = PythonOperator(  # the first
        task_id="one",
        python_callable=first,
        op_kwargs={"a": (1, 2)},
        provide_context=True,
    )
    two = PythonOperator(task_id="two", python_callable=again, op_args=[1], provide_context=True)
"""


def test_operators_of_the_package() -> None:
    made = dags.rewrite(OPERATORS, "peat")
    assert (
        made.data.decode()
        == """from __future__ import annotations

from airflow.sdk import DAG
from airflow.providers.standard.operators.python import PythonOperator
from peat import helper as again  # ours
from task_factory import task_factory

with DAG("maps", schedule=None):
    one = task_factory(  # the first
        task_id="one",
        func_path="peat:first",
        func_kwargs={"a": (1, 2)},
    )
    two = PythonOperator(task_id="two", python_callable=again, op_args=[1])
"""
    )
    assert made.notes == [
        "PythonOperator of again: use gaiaflow.create_task instead",
        "imports peat, which Airflow's environment does not have",
    ]


def test_what_of_create_task_has_no_place_is_named() -> None:
    made = dags.rewrite(
        b'create_task("a", func_path="peat.x:f", func_args=[1], image="own:1", mode="prod")',
        "peat",
        lambda function: function != "peat.x:f",
    )
    said = "\n".join(made.notes)
    assert '"own:1"' in said and '"prod"' in said and "func_args" in said


@pytest.mark.parametrize("folder", ["", "src"])
def test_parameters_are_read_from_the_source(tmp_path: Path, folder: str) -> None:
    package = tmp_path / folder / "peat"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit\ndef top(a): ...\n")
    (package / "steps.py").write_text("import missing\nasync def run(a, b, *, c): ...\n")
    found = task_factory.parameters(tmp_path, "peat.steps", "run")
    assert found and [each.arg for each in found.args] == ["a", "b"]
    assert task_factory.parameters(tmp_path, "peat", "top")
    assert not task_factory.parameters(tmp_path, "peat.steps", "other")
    assert not task_factory.parameters(tmp_path, "peat.nothing", "run")
