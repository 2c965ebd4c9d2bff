"""The operator of mode `dev`: a task is a process of the project's environment."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.xcom_arg import PlainXComArg

if TYPE_CHECKING:
    from airflow.providers.standard.hooks.subprocess import SubprocessHook
    from airflow.sdk import Context
    from airflow.sdk.definitions.mappedoperator import MappedOperator


class Output(PlainXComArg):
    """The result of a task; `[key]` takes an entry of it where another task needs it.

    Airflow's own keys need one XCom each, and take an entry that is None for one that is missing.
    """

    def __init__(self, operator: BaseOperator | MappedOperator, entry: str | None = None) -> None:
        super().__init__(operator=operator)
        self.entry = entry

    def __getitem__(self, entry: str) -> Output:
        return Output(self.operator, entry)

    def resolve(self, context: Mapping[str, Any]) -> Any:
        """The value, once the task has run.

        Raises:
            KeyError: the result has no such entry; the message has the ones that it has.
        """
        value = super().resolve(context)
        if self.entry is None:
            return value
        if not isinstance(value, dict) or self.entry not in value:
            found = ", ".join(value) if isinstance(value, dict) else type(value).__name__
            task = self.operator.task_id
            raise KeyError(f"the result of {task} has no {self.entry!r}, but: {found}")
        return value[self.entry]


class ProcessOperator(BaseOperator):
    """Calls a function through `gaiaflow.runner` in a process, its output goes to the task's log.

    Args:
        function: "package.module:function".
        arguments: keyword arguments for it, JSON after templates are rendered.
        env: more environment variables.
    """

    template_fields: Sequence[str] = ("arguments", "env")
    ui_color = "#d9ead3"

    def __init__(
        self, *, function: str, arguments: Mapping[str, Any], env: Mapping[str, str], **options: Any
    ) -> None:
        super().__init__(**options)
        self.function = function
        self.arguments = dict(arguments)
        self.env = dict(env)

    @cached_property
    def _hook(self) -> SubprocessHook:
        from airflow.providers.standard.hooks.subprocess import SubprocessHook

        return SubprocessHook()

    def execute(self, context: Context) -> Any:
        """Run the function and return its result.

        Raises:
            RuntimeError: the function failed; what it wrote is in the log.
        """
        from gaiaflow.runner import to_json

        python, root = os.environ["GAIAFLOW_PYTHON"], Path(__file__).parents[1]
        with tempfile.TemporaryDirectory(prefix="gaiaflow-") as scratch:
            result = Path(scratch, "result.json")
            # Airflow's own configuration, with the keys to its database, is not the function's.
            env = {name: v for name, v in os.environ.items() if not name.startswith("AIRFLOW_")}
            env |= self.env
            env |= {
                "GAIAFLOW_TASK": self.task_id,
                "GAIAFLOW_ARGUMENTS": to_json(self.arguments, "the arguments"),
                "GAIAFLOW_RESULT": str(result),
                "PYTHONUNBUFFERED": "1",
            }
            command = [python, "-m", "gaiaflow.runner", self.function]
            ended = self._hook.run_command(command, env=env, cwd=str(root))
            if ended.exit_code != 0:
                code = ended.exit_code
                raise RuntimeError(f"{self.function} failed with exit code {code}: see above")
            return json.loads(result.read_text(encoding="utf-8"))

    @property
    def output(self) -> Output:
        """What the function returns; `output["key"]` is one entry of it."""
        return Output(operator=self)

    def on_kill(self) -> None:
        """End the process with the task."""
        self._hook.send_sigterm()  # type: ignore[no-untyped-call]
