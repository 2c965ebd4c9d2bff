"""The original's `task_factory` and `create_task`, based on Gaiaflow's `create_task`.

This file is yours: DAGs written for the original use it. In new DAGs, use `from gaiaflow import
create_task`. Once no DAG imports this file, delete it.
"""

from __future__ import annotations

import ast
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gaiaflow


@dataclass(frozen=True)
class FromTask:
    """The result of another task of the DAG, or one entry of it."""

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
    """As in the original up to 0.3. Images and modes are now project settings."""
    arguments = dict(func_kwargs or {})
    for name, pulled in (xcom_pull_tasks or {}).items():
        key = pulled.get("key", "return_value")
        arguments[name] = FromTask(pulled["task"], name if key == "return_value" else key)
    return create_task(
        task_id,
        func_path,
        arguments,
        env_vars=env_vars,
        retries=retries,
        dag=dag,
        secrets=secrets,
    )


def create_task(
    task_id: str,
    func_path: str,
    func_kwargs: dict[str, Any] | None = None,
    func_args: list[Any] | None = None,
    env_vars: dict[str, str] | None = None,
    retries: int = 3,
    dag: Any = None,
    secrets: list[str] | None = None,
    **_: Any,
) -> Any:
    """As in the original 1.0. Images and modes are now project settings.

    Positional arguments get the names of the function's parameters. A function with a parameter
    `params` gets the DAG's, as in the original.
    """
    module, _dot, name = func_path.replace(":", ".").rpartition(".")
    known = parameters(Path(__file__).parent, module, name)
    positions = [] if known is None or known.posonlyargs else [each.arg for each in known.args]
    given = dict(zip(positions, func_args or [], strict=False))
    if len(given) < len(func_args or []) or given.keys() & (func_kwargs or {}).keys():
        raise ValueError(
            f"Task {task_id!r}: pass the arguments of {func_path} by name, in func_kwargs. "
            f"Known parameters: {', '.join(positions) or 'none'}."
        )
    given.update(func_kwargs or {})
    names = {each.arg for each in [*known.args, *known.kwonlyargs]} if known else set()
    if "params" in names - given.keys():
        params: Any = getattr(dag, "params", {})
        given["params"] = params.dump() if hasattr(params, "dump") else dict(params)
    env = {name: str(value) for name, value in (env_vars or {}).items()}
    with dag or nullcontext():
        arguments = {key: _output(task_id, value) for key, value in given.items()}
        return gaiaflow.create_task(
            task_id, f"{module}:{name}", arguments, retries=retries, env=env, secrets=secrets or ()
        )


def parameters(project: Path, module: str, name: str) -> ast.arguments | None:
    """The parameters of a function, from its source; None if it isn't found.

    Airflow can't import the function: the package is in the project's environment.
    """
    for folder in (project, project / "src"):
        file = folder.joinpath(*module.split("."))
        for path in (file.with_suffix(".py"), file / "__init__.py"):
            for node in ast.parse(path.read_bytes()).body if path.is_file() else []:
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
                    return node.args
    return None


def days_ago(number: int) -> datetime:
    """As in Airflow 2. A fixed date is better: this one changes every day."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
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
            f"Task {task_id!r}: there is no task {value.task!r} before it in its `with DAG(...)`."
        )
    output = dag.get_task(found[0]).output
    return output if value.key == "return_value" else output[value.key]
