"""Calls of the original's `task_factory` and `create_task`, made with Gaiaflow's `create_task`.

Yours: DAGs written for the original use it. New DAGs need `from gaiaflow import create_task` only;
once no DAG imports this file, delete it.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import gaiaflow


@dataclass(frozen=True)
class FromTask:
    """What another task of the DAG returned, or one entry of it."""

    task: str
    key: str = "return_value"


def task_factory(
    task_id: str,
    func_path: str,
    func_kwargs: dict[str, Any] | None = None,
    image: str | None = None,
    env: str = "dev",
    xcom_push: bool = True,
    xcom_pull_tasks: dict[str, dict[str, str]] | None = None,
    secrets: list[str] | None = None,
    env_vars: dict[str, str] | None = None,
    retries: int = 3,
    dag: Any = None,
) -> Any:
    """As in the original up to 0.3. Images, secrets and modes are settings of the project now."""
    arguments = dict(func_kwargs or {})
    for name, pulled in (xcom_pull_tasks or {}).items():
        key = pulled.get("key", "return_value")
        arguments[name] = FromTask(pulled["task"], name if key == "return_value" else key)
    return create_task(task_id, func_path, arguments, env_vars=env_vars, retries=retries, dag=dag)


def create_task(
    task_id: str,
    func_path: str,
    func_kwargs: dict[str, Any] | None = None,
    func_args: list[Any] | None = None,
    env_vars: dict[str, str] | None = None,
    retries: int = 3,
    dag: Any = None,
    **_: Any,
) -> Any:
    """As in the original 1.0. Images, secrets and modes are settings of the project now."""
    if func_args:
        raise ValueError(f"Task {task_id!r}: give the arguments by name, in func_kwargs.")
    module, _dot, name = func_path.replace(":", ".").rpartition(".")
    env = {name: str(value) for name, value in (env_vars or {}).items()}
    with dag or nullcontext():
        arguments = {key: _output(task_id, value) for key, value in (func_kwargs or {}).items()}
        return gaiaflow.create_task(
            task_id, f"{module}:{name}", arguments, retries=retries, env=env
        )


def days_ago(number: int) -> datetime:
    """As in Airflow 2. A fixed date is better: this one is another every day."""
    midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=number)


def _output(task_id: str, value: Any) -> Any:
    if not isinstance(value, FromTask):
        return value
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    dag = DagContext.get_current()
    known = list(dag.task_ids) if dag else []
    last = value.task.rpartition(".")[2]  # the name without its groups
    found = [each for each in known if each == value.task] or [
        each for each in known if each.rpartition(".")[2] == last
    ]
    if dag is None or len(found) != 1:
        raise ValueError(
            f"Task {task_id!r}: there is no task {value.task!r} above it in a `with DAG(...)`."
        )
    output = dag.get_task(found[0]).output
    return output if value.key == "return_value" else output[value.key]
