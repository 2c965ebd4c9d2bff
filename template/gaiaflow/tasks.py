"""`create_task`: from a plain function to a task of a DAG, whatever the mode."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaiaflow.resources import requested
from gaiaflow.runner import to_json

if TYPE_CHECKING:
    from gaiaflow.function_task import FunctionTask

# The operator of each mode, imported when a DAG of that mode is read and not before.
OPERATORS = {
    "dev": "gaiaflow.process_operator:ProcessOperator",
    "dev_docker": "gaiaflow.container_operator:ContainerOperator",
    "prod_local": "gaiaflow.pod_operator:LocalPodOperator",
    "prod": "gaiaflow.pod_operator:ClusterPodOperator",
}

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_ROOT = Path(__file__).resolve().parents[1]


def create_task(
    task_id: str,
    function: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    retries: int | None = None,
    timeout: timedelta | None = None,
    env: Mapping[str, Any] | None = None,
    secrets: Sequence[str] = (),
    resources: str | Mapping[str, Any] | None = None,
    image: str | None = None,
    mode: str | None = None,
    **options: Any,
) -> FunctionTask:
    """Make a task that calls a function of the project in the project's own environment.

    Args:
        task_id: the task's name in the DAG.
        function: where the function is, as "my_package.train.forest:train". It is imported when
            the task runs, never when the DAG is read.
        arguments: what to call it with: JSON values, the output of other tasks (`task.output`,
            or `task.output["key"]` of a result that is a dict), or DAG parameters
            (`dag.param("name")`). The task runs after the tasks whose output it gets.
        retries: how often to try again; default: that of the DAG.
        timeout: end the task after this time.
        env: more environment variables for the function. What is no text becomes JSON.
        secrets: names of Kubernetes secrets whose keys the function finds as environment
            variables. In the modes without Kubernetes it finds your own variables of `.env`.
        resources: {"cpu": 2, "memory": "4Gi", "gpu": 1} or a profile's name. Containers and pods
            get it; a process in `dev` takes what there is.
        image: the container image, if it is not the project's own. Nothing to `dev`.
        mode: where this task runs, whatever GAIAFLOW_MODE says. `default_args={"mode": ...}` says
            it for all tasks of a DAG.
        options: what every Airflow operator takes, as trigger_rule, pool or retry_delay.

    Returns:
        The Airflow operator. `.output` is what the function returns, which must be JSON;
        `.expand(name=list)` runs it once for each item.

    Raises:
        ValueError: the reference, an argument or an option is not what it should be, or the mode
            is none; the message names it.
    """
    from gaiaflow.function_task import own_reference

    def wrong(what: object) -> ValueError:
        return ValueError(f"Task {task_id!r}: {what}")

    if not _REFERENCE.fullmatch(function):
        raise wrong(
            f"the function should look like 'package.module:function', and not {function!r}."
        )
    arguments = own_reference(dict(arguments or {}))
    for name, value in arguments.items():
        if not _comes_later(value):
            to_json(value, f"Task {task_id!r}: the argument {name!r}")
    for name in env or {}:
        if not _VARIABLE.fullmatch(name):
            raise wrong(f"{name!r} can't be the name of an environment variable.")
    if isinstance(secrets, str):
        raise wrong("secrets is a list of names, and not one text.")
    for secret in secrets:
        if not _SECRET.fullmatch(secret):
            raise wrong(f"{secret!r} can't be the name of a Kubernetes secret.")
    try:
        needs = requested(resources, _ROOT)
    except ValueError as error:
        raise wrong(error) from None
    if timeout:
        options["execution_timeout"] = timeout
    if retries is not None:
        options["retries"] = retries
    options |= {
        "function": function,
        "function_arguments": arguments,
        "function_env": own_reference(dict(env or {})),
        "secret_names": list(secrets),
        "requested": needs,
        "task_image": image,
    }
    task = _operator(mode or _mode_of_dag() or _mode())(task_id=task_id, **options)
    task.made_of = options
    return task


def _mode() -> str:
    return os.environ.get("GAIAFLOW_MODE") or "dev"


def _mode_of_dag() -> str | None:
    """The mode in the `default_args` of the DAG that is being made, if it insists on one."""
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    dag = DagContext.get_current()
    return dag.default_args.get("mode") if dag else None


def _operator(mode: str) -> type[FunctionTask]:
    if mode not in OPERATORS:
        raise ValueError(f"the mode is {mode!r}; it can be: {', '.join(OPERATORS)}.")
    module, _, name = OPERATORS[mode].partition(":")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def _comes_later(value: Any) -> bool:
    """Whether a value is, or holds, the output of a task or a DAG parameter."""
    if isinstance(value, Mapping):
        return any(map(_comes_later, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_comes_later, value))
    return hasattr(value, "resolve") and hasattr(value, "iter_references")
