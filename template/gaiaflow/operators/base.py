"""What tasks share in all modes: the function, its environment variables and its errors."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.exceptions import AirflowFailException

from gaiaflow.operators import assets, mapping
from gaiaflow.operators.mapping import Output
from gaiaflow.operators.resources import Resources
from gaiaflow.project import variables
from gaiaflow.runner import FINAL, NotJsonError, to_json

if TYPE_CHECKING:
    from airflow.sdk import Context

_KILLED = 137  # the exit code of a container
GRACE = 3  # seconds for a function to clean up after its timeout; Airflow kills us after 5


@dataclass(frozen=True)
class FunctionSpec:
    """The function that a task calls, and what it needs in any mode.

    function: "package.module:function".
    secrets: Kubernetes secrets whose keys become environment variables.
    image: run in this image instead of the project's.
    updates: entries of the result, and the assets that they update if they are true.
    """

    function: str
    resources: Resources
    secrets: tuple[str, ...] = ()
    image: str | None = None
    updates: tuple[tuple[str, Asset], ...] = ()


class FunctionTask(BaseOperator):
    """A task that calls a function through `gaiaflow.runner`; subclasses decide where.

    Args:
        spec: the function.
        function_arguments: its keyword arguments, which are JSON after templates are rendered.
        mapped: one more argument as {name: value}: an item of the list that the task maps over.
        function_env: additional environment variables.
    """

    calls_a_function = True

    # Only these, in every mode; and never read a string that looks like a file name as a file.
    template_fields: Sequence[str] = ("function_arguments", "mapped", "function_env")
    template_ext: Sequence[str] = ()
    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        spec: FunctionSpec,
        function_arguments: Mapping[str, Any],
        mapped: Mapping[str, Any] | None = None,
        function_env: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.spec = spec
        self.function_arguments = dict(function_arguments)
        self.mapped = mapped
        self.function_env = dict(function_env or {})
        self.made_of: dict[str, Any] = {}  # create_task's options, for expand()
        self.mapped_over: set[str | None] = set()  # entries of the result that others map over

    @property
    def output(self) -> Output:
        """What the function returns; `output["key"]` is one entry of it."""
        return Output(operator=self)

    def expand(self, **lists: Any) -> MappedOperator:
        """Run the task once for each item of a list, in parallel: `.expand(scene=scenes)`.

        Args:
            lists: one argument of the function and its list: JSON values, or the output of a task
                such as `search.output["scenes"]`.

        Returns:
            The mapped task. Its `.output` is the list of all results, in the order of the items.

        Raises:
            ValueError: there is not exactly one argument, or its value is not a list.
        """
        return mapping.expand(self, lists)

    def execute(self, context: Context) -> Any:
        """Call the function where the mode runs it, and return its result."""
        return self.finish(self.call(context), context)

    def finish(self, result: Any, context: Context) -> Any:
        """Do what follows from a result, and return what the task returns."""
        assets.update(self.spec.updates, result, context, self.spec.function)
        entry = next(iter(self.mapped_over), None)
        return result if entry is None else mapping.measured(result, entry, self.spec.function)

    @abstractmethod
    def call(self, context: Context) -> Any:
        """Run the function and return its result, decoded from JSON.

        Raises:
            AirflowFailException: the function failed, and retries can't help.
            RuntimeError: the function failed; its output is in the log.
        """

    def call_env(self, context: Context) -> dict[str, str]:
        """Environment variables that tell the runner what to call, and the user's.

        Raises:
            AirflowFailException: an argument is not JSON or is too large; the message names it.
        """
        arguments = _plain({**self.function_arguments, **(self.mapped or {})})
        try:
            text = to_json(arguments, "the arguments")
        except NotJsonError as error:
            raise AirflowFailException(str(error)) from None
        return {
            "MLFLOW_RUN_CONTEXT": json.dumps(self._run_tags(context)),
            **{name: _text(value) for name, value in self.function_env.items()},
            variables.TASK: self.task_id,
            variables.ARGUMENTS: text,
            "PYTHONUNBUFFERED": "1",
        }

    def _run_tags(self, context: Context) -> dict[str, str]:
        """Tags for each MLflow run that the function starts."""
        ti = context["ti"]
        tags = {
            "mlflow.source.name": self.spec.function,
            "mlflow.source.type": "JOB",
            "airflow.dag_id": ti.dag_id,
            "airflow.run_id": ti.run_id,
            "airflow.task_id": ti.task_id,
            "airflow.try_number": str(ti.try_number),
        }
        if ti.map_index is not None and ti.map_index >= 0:
            tags["airflow.map_index"] = str(ti.map_index)
        return tags | self.image_tags()

    def image_tags(self) -> dict[str, str]:
        """Tags for the image that the function runs in: MLflow's own. None for a process."""
        return {}

    def secrets_env(self) -> dict[str, str]:
        """The values for the task's secrets in modes without Kubernetes.

        Raises:
            AirflowFailException: `.env` has none.
        """
        if not self.spec.secrets:
            return {}
        own: dict[str, str] = json.loads(os.environ.get(variables.SECRETS) or "{}")
        if not own:
            raise AirflowFailException(
                f"{self.task_id} needs the secrets {', '.join(self.spec.secrets)}, but .env has no "
                "variables of yours.\nAdd what the function reads as NAME=value, then run: "
                "python3 mlops_manager.py restart"
            )
        return own

    def failed(
        self, exit_code: int | None, *, limited: bool = False, out_of_memory: bool = False
    ) -> Exception:
        """The error that ends the task, the same in every mode.

        Args:
            limited: the function ran in a container, whose memory has a limit.
            out_of_memory: the container was killed because of it, as the engine says. On a busy
                machine, engines miss that.
        """
        function, resources = self.spec.function, self.spec.resources
        if exit_code == FINAL:
            return AirflowFailException(
                f"{function} failed: see above. It is not retried because the same error would "
                "recur."
            )
        if out_of_memory or (limited and exit_code == _KILLED):
            because = f"needed more memory than its limit of {resources.memory}"
            return RuntimeError(
                f"{function} "
                + (
                    f"{because} and was killed (OOMKilled)."
                    if out_of_memory
                    else f"was killed (exit code {_KILLED}), most likely because it {because}."
                )
                + "\nRaise the limit: "
                f'create_task(..., resources={{"memory": "{resources.double_memory()}", ...}})'
            )
        return RuntimeError(f"{function} failed with exit code {exit_code}: see above")


def identity_of(context: Context) -> str:
    """Identify a task in a run, regardless of its tries."""
    ti = context["ti"]
    return json.dumps([ti.dag_id, ti.run_id, ti.task_id, ti.map_index])


def keeps_failed() -> bool:
    """Whether to keep the container or pod of a failed task for inspection."""
    return os.environ.get(variables.KEEP_FAILED, "").lower() in {"1", "true", "yes"}


def _plain(value: Any) -> Any:
    """Replace Airflow's lazy sequences in a value with lists."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return [_plain(part) for part in value]
    return value


def _text(value: Any) -> str:
    """An environment variable's value: strings unchanged, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(_plain(value))
