"""What is in DAG files, as JSON, for tests of a project: `python -m gaiaflow.dag_report FILE ...`

    {"dags": {ID: [{"file": FILE, "tasks": {ID: {"function": "package.module:function" or null,
     "arguments": [NAME, ...], "owner": NAME, "retries": NUMBER}}}]}, "problems": {FILE: TEXT}}

An ID with two entries is used twice. It runs in Airflow's environment.
"""

from __future__ import annotations

import json
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.definitions.mappedoperator import MappedOperator

from gaiaflow import import_errors
from gaiaflow.function_task import FunctionTask, mapped_name

_ROOT = Path(__file__).resolve().parent.parent


def report(files: list[str]) -> dict[str, Any]:
    """Load files as Airflow does, and tell what their DAGs are."""
    dags: dict[str, list[Any]] = {}
    problems = {}
    for file in files:
        try:
            values = runpy.run_path(file).values()
            found = {id(value): value for value in values if isinstance(value, DAG)}.values()
            for dag in found:
                dag.validate()  # type: ignore[no-untyped-call]
                dag.check_cycle()
        except Exception:
            problem = traceback.format_exc(limit=-1)
            problems[file] = f"{problem}{import_errors.hint(_ROOT, problem)}"
            continue
        for dag in found:
            tasks = {task.task_id: _task(dag, task) for task in dag.tasks}
            dags.setdefault(dag.dag_id, []).append({"file": file, "tasks": tasks})
    return {"dags": dags, "problems": problems}


def _task(dag: DAG, task: Any) -> dict[str, Any]:
    function, arguments = None, []
    if isinstance(task, FunctionTask):
        function, arguments = task.function, list(task.function_arguments)
    elif isinstance(task, MappedOperator) and issubclass(task.operator_class, FunctionTask):
        function = task.partial_kwargs["function"]
        arguments = [*task.partial_kwargs["function_arguments"], mapped_name(task)]
    # Airflow gives everybody's tasks to "airflow" whom nobody else has.
    owned = task.owner != "airflow" or "owner" in dag.default_args
    return {
        "function": function,
        "arguments": arguments,
        "owner": task.owner if owned else "",
        "retries": task.retries,
    }


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(report(sys.argv[1:])) + "\n")
