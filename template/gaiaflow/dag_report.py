"""Report the contents of DAG files as JSON, for tests: `python -m gaiaflow.dag_report FILE ...`

    {"dags": {ID: [{"file": FILE, "tasks": {ID: {"function": "package.module:function" or null,
     "arguments": [NAME, ...], "owner": NAME, "retries": NUMBER}}}]}, "problems": {FILE: TEXT}}

An ID that is used twice has two entries. Runs in Airflow's environment.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.definitions.mappedoperator import MappedOperator

from gaiaflow.operators import dag_context
from gaiaflow.operators.mapping import argument_of, is_ours
from gaiaflow.project import import_errors
from gaiaflow.project.paths import ROOT


def report(files: list[str]) -> dict[str, Any]:
    """Load files as Airflow does, and describe their DAGs."""
    dags: dict[str, list[Any]] = {}
    problems = {}
    for file in files:
        try:
            found = dag_context.defined_by(file)
            for dag in found:
                dag.validate()  # type: ignore[no-untyped-call]
                dag.check_cycle()
        except Exception:
            problem = traceback.format_exc(limit=-1)
            problems[file] = f"{problem}{import_errors.hint(ROOT, problem)}"
            continue
        for dag in found:
            tasks = {task.task_id: _task(dag, task) for task in dag.tasks}
            dags.setdefault(dag.dag_id, []).append({"file": file, "tasks": tasks})
    return {"dags": dags, "problems": problems}


def _task(dag: DAG, task: Any) -> dict[str, Any]:
    function, arguments = None, []
    if is_ours(task):
        mapped = isinstance(task, MappedOperator)
        made_of = task.partial_kwargs if mapped else task.made_of
        function = made_of["spec"].function
        arguments = [*made_of["function_arguments"], *([argument_of(task)] if mapped else [])]
    # "airflow" is Airflow's default owner.
    owned = task.owner != "airflow" or "owner" in dag.default_args
    return {
        "function": function,
        "arguments": arguments,
        "owner": task.owner if owned else "",
        "retries": task.retries,
    }


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(report(sys.argv[1:])) + "\n")
