"""`create_task`: from a plain function to a task of a DAG, whatever the mode."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gaiaflow.runner import to_json

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

# The operator of each mode, imported when a DAG of that mode is read and not before.
OPERATORS = {"dev": "gaiaflow.process_operator:ProcessOperator"}

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def create_task(
    task_id: str,
    function: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    retries: int | None = None,
    timeout: timedelta | None = None,
    env: Mapping[str, str] | None = None,
) -> BaseOperator:
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
        env: more environment variables for the function.

    Returns:
        The Airflow operator. `.output` is what the function returns, which must be JSON.

    Raises:
        ValueError: the reference or an argument is not what it should be, or GAIAFLOW_MODE is not
            a mode; the message names it.
    """
    if not _REFERENCE.fullmatch(function):
        raise ValueError(
            f"Task {task_id!r}: the function should look like 'package.module:function', "
            f"and not {function!r}."
        )
    arguments = dict(arguments or {})
    for name, value in arguments.items():
        if not _comes_later(value):
            to_json(value, f"Task {task_id!r}: the argument {name!r}")
    options: dict[str, Any] = {"execution_timeout": timeout} if timeout else {}
    if retries is not None:
        options["retries"] = retries
    operator = _operator(os.environ.get("GAIAFLOW_MODE", "dev"))
    return operator(
        task_id=task_id, function=function, arguments=arguments, env=dict(env or {}), **options
    )


def _operator(mode: str) -> type[BaseOperator]:
    if mode not in OPERATORS:
        raise ValueError(f"GAIAFLOW_MODE is {mode!r}; it can be: {', '.join(OPERATORS)}.")
    module, _, name = OPERATORS[mode].partition(":")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def _comes_later(value: Any) -> bool:
    """Whether a value is, or holds, the output of a task or a DAG parameter."""
    if isinstance(value, Mapping):
        return any(map(_comes_later, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_comes_later, value))
    return hasattr(value, "resolve") and hasattr(value, "iter_references")
