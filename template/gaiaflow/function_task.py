"""What the tasks of all modes have in common: arguments, results, and mapping over lists."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.definitions.xcom_arg import MapXComArg, PlainXComArg, XComArg
from airflow.sdk.exceptions import AirflowFailException

from gaiaflow.resources import doubled
from gaiaflow.runner import FINAL, NotJsonError, to_json

if TYPE_CHECKING:
    from airflow.sdk import Context

GRACE = 3  # seconds for a function to clean up when its time is up; Airflow kills us after 5


class Output(PlainXComArg):
    """The result of a task; `[key]` takes an entry of it where another task needs it.

    Airflow's own keys need one XCom each, and take an entry that is None for one that is missing.
    """

    def __init__(self, operator: BaseOperator | MappedOperator, entry: str | None = None) -> None:
        super().__init__(operator=operator)
        self.entry = entry

    def __getitem__(self, entry: str) -> Output:
        if self.entry is not None:
            whole = f"{self.operator.task_id}.output[{self.entry!r}]"
            raise TypeError(f"{whole} can be passed on as it is; take {entry!r} in the function.")
        return Output(self.operator, entry)

    def resolve(self, context: Mapping[str, Any]) -> Any:
        """The value, once the task has run; of a mapped task a list, with a value for each item.

        Raises:
            AirflowFailException: the result has no such entry; the message has those that it has.
        """
        value = super().resolve(context)
        if self.entry is None:
            return value
        if getattr(self.operator, "is_mapped", False):
            return [self._take(item) for item in value]
        return self._take(value)

    def _take(self, value: Any) -> Any:
        if not isinstance(value, dict) or self.entry not in value:
            found = ", ".join(value) if isinstance(value, dict) else type(value).__name__
            task = self.operator.task_id
            raise AirflowFailException(f"the result of {task} has no {self.entry!r}, but: {found}")
        return value[self.entry]


class FunctionTask(BaseOperator):
    """A task that calls a function through `gaiaflow.runner`; a subclass says where.

    Args:
        function: "package.module:function".
        function_arguments: keyword arguments for it, JSON after templates are rendered.
        mapped: one more, as {name: value}: a single item of what the task is mapped over.
        function_env: more environment variables.
        secret_names: Kubernetes secrets whose keys become environment variables.
        requested: what the task needs, as {"cpu": 0.5, "memory": "1Gi", "gpu": 0}.
        task_image: run in this image instead of the project's.
    """

    # These and nothing else, in every mode; and no text that looks like a file is read as one.
    template_fields: Sequence[str] = ("function_arguments", "mapped", "function_env")
    template_ext: Sequence[str] = ()
    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        function: str,
        function_arguments: Mapping[str, Any],
        mapped: Mapping[str, Any] | None = None,
        function_env: Mapping[str, Any] | None = None,
        secret_names: Sequence[str] = (),
        requested: Mapping[str, Any] | None = None,
        task_image: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.function = function
        self.function_arguments = dict(function_arguments)
        self.mapped = mapped
        self.function_env = dict(function_env or {})
        self.secret_names = tuple(secret_names)
        self.requested = dict(requested or {})
        self.task_image = task_image
        self.made_of: dict[str, Any] = {}  # what create_task has passed, for expand()
        self.mapped_over: set[str | None] = set()  # the entries of the result that others map over

    @property
    def output(self) -> Output:
        """What the function returns; `output["key"]` is one entry of it."""
        return Output(operator=self)

    def expand(self, **lists: Any) -> MappedOperator:
        """Run the task once for each item of a list, at the same time: `.expand(scene=scenes)`.

        Args:
            lists: one argument of the function, and its list: JSON values, or the output of a
                task, as `search.output["scenes"]`.

        Returns:
            The mapped task. Its `.output` is the list of all results, in the order of the items.

        Raises:
            ValueError: it is not one argument, or not a list; the message says which.
        """
        if len(lists) != 1:
            raise ValueError(
                f"Task {self.task_id!r} can be expanded over one argument, and not {len(lists)}: "
                "give it a list of dicts that hold what belongs together."
            )
        [(name, items)] = lists.items()
        if name in self.function_arguments:
            raise ValueError(f"Task {self.task_id!r}: {name!r} is an argument already.")
        mapped = self._named(name, items)
        dag, group = self.dag, self.task_group
        self._leave()  # the mapped task takes its place and its edges
        partial = type(self).partial(
            task_id=self.label or self.task_id, dag=dag, task_group=group, **self.made_of
        )
        return partial.expand(mapped=mapped)

    def _leave(self) -> None:
        """Take the task out of its DAG and its group."""
        del self.dag.task_dict[self.task_id]
        for group in filter(None, (self.task_group, self.dag.task_group)):
            group.children.pop(self.task_id, None)
            group.used_group_ids.discard(self.task_id)

    def _named(self, name: str, items: Any) -> Any:
        if isinstance(items, XComArg):
            if isinstance(items, Output) and isinstance(items.operator, FunctionTask):
                entries = items.operator.mapped_over
                entries.add(items.entry)
                if len(entries) > 1:  # Airflow stores one length for each task
                    raise ValueError(
                        f"Only one entry of the result of {items.operator.task_id!r} can be "
                        f"mapped over, and not {' and '.join(map(repr, entries))}."
                    )
            return items.map(_naming(name))
        if not isinstance(items, Sequence) or isinstance(items, str):
            kind = type(items).__name__
            raise ValueError(f"Task {self.task_id!r}: {name!r} is to be a list, and not {kind}.")
        if not items:
            raise ValueError(f"Task {self.task_id!r}: {name!r} is an empty list.")
        return [{name: item} for item in items]

    def execute(self, context: Context) -> Any:
        """Call the function where the mode has it, and return its result."""
        result = self.call(context)
        entry = next(iter(self.mapped_over), None)
        if entry is None:
            return result
        items = result.get(entry) if isinstance(result, dict) else None
        if not isinstance(items, list):
            kind = type(items).__name__
            raise AirflowFailException(
                f"{entry!r} in the result of {self.function} is mapped over, so it must be a list, "
                f"and not {kind}."
            )
        return _Measured(result, len(items))

    @abstractmethod
    def call(self, context: Context) -> Any:
        """Run the function and return its result, from JSON.

        Raises:
            AirflowFailException: the function failed, and would fail again.
            RuntimeError: the function failed; what it wrote is in the log.
        """

    def call_env(self, context: Context) -> dict[str, str]:
        """The environment variables that tell the runner what to call, and those of the user.

        Raises:
            AirflowFailException: an argument cannot travel; the message names it.
        """
        arguments = _plain({**self.function_arguments, **(self.mapped or {})})
        try:
            text = to_json(arguments, "the arguments")
        except NotJsonError as error:
            raise AirflowFailException(str(error)) from None
        return {
            "MLFLOW_RUN_CONTEXT": json.dumps(self._run_tags(context)),
            **{name: _text(value) for name, value in self.function_env.items()},
            "GAIAFLOW_TASK": self.task_id,
            "GAIAFLOW_ARGUMENTS": text,
            "PYTHONUNBUFFERED": "1",
        }

    def _run_tags(self, context: Context) -> dict[str, str]:
        """What MLflow shall know of each run that the function starts."""
        ti = context["ti"]
        tags = {
            "mlflow.source.name": self.function,
            "mlflow.source.type": "JOB",
            "airflow.dag_id": ti.dag_id,
            "airflow.run_id": ti.run_id,
            "airflow.task_id": ti.task_id,
            "airflow.try_number": str(ti.try_number),
        }
        mapped = ti.map_index is not None and ti.map_index >= 0
        return {**tags, "airflow.map_index": str(ti.map_index)} if mapped else tags

    def secrets_env(self) -> dict[str, str]:
        """The secrets that the task asks for, where no Kubernetes keeps them.

        Raises:
            AirflowFailException: there are none.
        """
        if not self.secret_names:
            return {}
        own: dict[str, str] = json.loads(os.environ.get("GAIAFLOW_SECRETS") or "{}")
        if not own:
            raise AirflowFailException(
                f"{self.task_id} wants the secrets {', '.join(self.secret_names)}, and .env has no "
                "variables of yours. Add what the function reads, as NAME=value, then: "
                "python3 mlops_manager.py restart"
            )
        return own

    def failed(self, exit_code: int | None, *, out_of_memory: bool = False) -> Exception:
        """The error that ends the task, the same in each mode."""
        if exit_code == FINAL:
            return AirflowFailException(
                f"{self.function} failed: see above. It is not retried, because the error would "
                "only come back."
            )
        if out_of_memory:
            memory = self.requested["memory"]
            return RuntimeError(
                f"{self.function} needed more memory than its limit of {memory} and was killed "
                "(OOMKilled).\nRaise the limit: "
                f'create_task(..., resources={{"memory": "{doubled(memory)}", ...}})'
            )
        return RuntimeError(f"{self.function} failed with exit code {exit_code}: see above")


class _Measured(dict[str, Any]):
    """A result of which an entry is mapped over: its length is that of the entry.

    Airflow takes `len()` of a result for the number of mapped tasks, and knows no entries.
    """

    def __init__(self, result: Mapping[str, Any], length: int) -> None:
        super().__init__(result)
        self.length = length

    def __len__(self) -> int:
        return self.length


def own_reference(value: Any) -> Any:
    """The same value, with `mapped_task.output["key"]` as our kind of reference."""
    if isinstance(value, Mapping):
        return {key: own_reference(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [own_reference(part) for part in value]
    mapped = value.operator if type(value) is PlainXComArg else None
    if isinstance(mapped, MappedOperator) and issubclass(mapped.operator_class, FunctionTask):
        return Output(mapped, None if value.key == BaseXCom.XCOM_RETURN_KEY else value.key)
    return value


def mapped_name(task: MappedOperator) -> str:
    """The argument over which a task of ours is mapped."""
    given: Any = task.expand_input.value
    mapped = given["mapped"]
    if isinstance(mapped, MapXComArg):
        return str(mapped.callables[-1].argument)  # type: ignore[attr-defined]
    return str(next(iter(mapped[0])))


def identity_of(context: Context) -> str:
    """One task of one run, whichever try of it."""
    ti = context["ti"]
    return json.dumps([ti.dag_id, ti.run_id, ti.task_id, ti.map_index])


def keeps_failed() -> bool:
    """Whether the container or pod of a failed task stays, to be looked at."""
    return os.environ.get("GAIAFLOW_KEEP_FAILED", "").lower() in {"1", "true", "yes"}


def _naming(name: str) -> Callable[[Any], dict[str, Any]]:
    def named(item: Any) -> dict[str, Any]:
        return {name: item}

    named.argument = name  # type: ignore[attr-defined]
    return named


def _plain(value: Any) -> Any:
    """The same value with lists for Airflow's lazy sequences."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return [_plain(part) for part in value]
    return value


def _text(value: Any) -> str:
    """An environment variable's value: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(_plain(value))
