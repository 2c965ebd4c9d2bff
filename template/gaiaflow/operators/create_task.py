"""`create_task`: turn a plain function into a task of a DAG, in any mode."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gaiaflow.operators import dag_context
from gaiaflow.operators.resources import requested
from gaiaflow.project import variables
from gaiaflow.project.paths import ROOT
from gaiaflow.runner import to_json

if TYPE_CHECKING:
    from airflow.sdk import Asset

    from gaiaflow.operators.base import FunctionTask

# The operator of each mode, imported only when a DAG needs it.
OPERATORS = {
    "dev": "gaiaflow.operators.process:ProcessOperator",
    "dev_docker": "gaiaflow.operators.container:ContainerOperator",
    "prod_local": "gaiaflow.operators.pod:LocalPodOperator",
    "prod": "gaiaflow.operators.cluster_pod:ClusterPodOperator",
}

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


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
    updates: Mapping[str, Asset] | None = None,
    **options: Any,
) -> FunctionTask:
    """Create a task that calls a function of the project in the project's environment.

    Args:
        task_id: the task's name in the DAG.
        function: the function, such as "my_package.train.forest:train". It is imported when the
            task runs, never when the DAG is read.
        arguments: its arguments: JSON values, the output of other tasks (`task.output`, or
            `task.output["key"]` if the result is a dict), or DAG parameters
            (`dag.param("name")`). The task runs after the tasks whose output it gets.
        retries: how often to retry; default: the DAG's.
        timeout: end the task after this time.
        env: additional environment variables; values that are not strings become JSON.
        secrets: names of Kubernetes secrets; the function gets their keys as environment
            variables. In modes without Kubernetes, it gets the variables you added to `.env`.
        resources: {"cpu": 2, "memory": "4Gi", "gpu": 1, ...} or a profile's name. Containers and
            pods get them; a process in `dev` can use everything.
        image: an image other than the project's; ignored in `dev`.
        mode: where this task runs, instead of GAIAFLOW_MODE. `default_args={"mode": ...}` sets it
            for all tasks of a DAG.
        updates: {"entry": Asset("name")}: the task updates the asset if this entry of the result,
            which must be true or false, is true.
        options: what every Airflow operator takes, such as trigger_rule, pool or retry_delay.

    Returns:
        The Airflow operator. `.output` is what the function returns, which must be JSON;
        `.expand(name=list)` runs it once for each item.

    Raises:
        ValueError: the function, an argument, an option or the mode is invalid; the message names
            it.
    """
    from airflow.sdk import Asset

    from gaiaflow.operators import assets
    from gaiaflow.operators.base import FunctionSpec
    from gaiaflow.operators.mapping import own_reference

    def wrong(what: object) -> ValueError:
        return ValueError(f"Task {task_id!r}: {what}")

    if not _REFERENCE.fullmatch(function):
        raise wrong(f"the function must look like 'package.module:function', not {function!r}.")
    arguments = own_reference(dict(arguments or {}))
    for name, value in arguments.items():
        if not _comes_later(value):
            to_json(value, f"Task {task_id!r}: the argument {name!r}")
    for name in env or {}:
        if not _VARIABLE.fullmatch(name):
            raise wrong(f"{name!r} can't be the name of an environment variable.")
    if isinstance(secrets, str):
        raise wrong("secrets must be a list of names, not a string.")
    for secret in secrets:
        if not _SECRET.fullmatch(secret):
            raise wrong(f"{secret!r} can't be the name of a Kubernetes secret.")
    try:
        needs = requested(resources, ROOT)
    except ValueError as error:
        raise wrong(error) from None
    changes = tuple((updates or {}).items())
    for entry, asset in changes:
        if not isinstance(asset, Asset):
            raise wrong(f"updates must be {{entry: Asset(...)}}; that of {entry!r} is {asset!r}.")
    if changes:
        options["outlets"] = [*options.get("outlets", ()), *assets.outlets(changes)]
    if timeout:
        options["execution_timeout"] = timeout
    if retries is not None:
        options["retries"] = retries
    options |= {
        "spec": FunctionSpec(function, needs, tuple(secrets), image, changes),
        "function_arguments": arguments,
        "function_env": own_reference(dict(env or {})),
    }
    task = _operator(mode or _mode_of_dag() or _mode())(task_id=task_id, **options)
    task.made_of = options
    return task


def _mode() -> str:
    return os.environ.get(variables.MODE) or "dev"


def _mode_of_dag() -> str | None:
    """The mode in the `default_args` of the current DAG, if it sets one."""
    dag = dag_context.current()
    return dag.default_args.get("mode") if dag else None


def _operator(mode: str) -> type[FunctionTask]:
    if mode not in OPERATORS:
        raise ValueError(f"unknown mode {mode!r}; available: {', '.join(OPERATORS)}.")
    module, _, name = OPERATORS[mode].partition(":")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def _comes_later(value: Any) -> bool:
    """Whether a value is or contains the output of a task or a DAG parameter."""
    if isinstance(value, Mapping):
        return any(map(_comes_later, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_comes_later, value))
    return hasattr(value, "resolve") and hasattr(value, "iter_references")
