"""Results that other tasks use, and tasks that run once for each item of a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.definitions.xcom_arg import MapXComArg, PlainXComArg, XComArg
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from gaiaflow.operators.base import FunctionTask


class Output(PlainXComArg):
    """The result of a task; `[key]` is an entry of it, taken when another task needs it.

    Airflow's own keys need an XCom each, and treat an entry that is None as missing.
    """

    def __init__(self, operator: BaseOperator | MappedOperator, entry: str | None = None) -> None:
        super().__init__(operator=operator)
        self.entry = entry

    def __getitem__(self, entry: str) -> Output:
        if self.entry is not None:
            whole = f"{self.operator.task_id}.output[{self.entry!r}]"
            raise TypeError(f"{whole} can only be passed on whole; get {entry!r} in the function.")
        return Output(self.operator, entry)

    def resolve(self, context: Mapping[str, Any]) -> Any:
        """The value once the task has run; for a mapped task, a list with a value for each item.

        Raises:
            AirflowFailException: the result has no such entry; the message lists its entries.
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
            if value is None:
                raise AirflowFailException(f"{task} has no result: it failed, or returned None")
            raise AirflowFailException(f"the result of {task} has no {self.entry!r}, only: {found}")
        return value[self.entry]


def own_reference(value: Any) -> Any:
    """Replace `mapped_task.output["key"]` in a value with our kind of reference."""
    if isinstance(value, Mapping):
        return {key: own_reference(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [own_reference(part) for part in value]
    mapped = value.operator if type(value) is PlainXComArg else None
    if isinstance(mapped, MappedOperator) and is_ours(mapped):
        return Output(mapped, None if value.key == BaseXCom.XCOM_RETURN_KEY else value.key)
    return value


def is_ours(task: Any) -> bool:
    """Whether a task, mapped or not, calls a function of the project."""
    made_by: Any = task.operator_class if isinstance(task, MappedOperator) else type(task)
    return getattr(made_by, "calls_a_function", False) is True


def expand(task: FunctionTask, lists: Mapping[str, Any]) -> MappedOperator:
    """Replace a task with one that runs once for each item of a list.

    Raises:
        ValueError: there is not exactly one argument, or its value is not a list.
    """
    if len(lists) != 1:
        raise ValueError(
            f"Task {task.task_id!r}: expand() takes one argument, not {len(lists)}. "
            "To map over several arguments, use a list of dicts."
        )
    [(name, items)] = lists.items()
    if name in task.function_arguments:
        raise ValueError(f"Task {task.task_id!r}: {name!r} is already an argument.")
    mapped = _named(task, name, items)
    dag, group = task.dag, task.task_group
    _leave(task)  # the mapped task takes its place and its edges
    partial = type(task).partial(
        task_id=task.label or task.task_id, dag=dag, task_group=group, **task.made_of
    )
    return partial.expand(mapped=mapped)


def argument_of(task: MappedOperator) -> str:
    """The argument that one of our tasks is mapped over."""
    given: Any = task.expand_input.value
    mapped = given["mapped"]
    if isinstance(mapped, MapXComArg):
        return str(mapped.callables[-1].argument)  # type: ignore[attr-defined]
    return str(next(iter(mapped[0])))


def measured(result: Any, entry: str, function: str) -> Any:
    """Give a result the length of its entry: Airflow creates `len()` mapped tasks.

    Raises:
        AirflowFailException: the entry is not a list.
    """
    items = result.get(entry) if isinstance(result, dict) else None
    if not isinstance(items, list):
        raise AirflowFailException(
            f"{entry!r} in the result of {function} is mapped over, so it must be a list, "
            f"not {type(items).__name__}."
        )
    return _Measured(result, len(items))


class _Measured(dict[str, Any]):
    """A dict with the length of one of its entries."""

    def __init__(self, result: Mapping[str, Any], length: int) -> None:
        super().__init__(result)
        self.length = length

    def __len__(self) -> int:
        return self.length


def _named(task: FunctionTask, name: str, items: Any) -> Any:
    """The list that Airflow maps over: each item as {name: item}."""
    if isinstance(items, XComArg):
        if isinstance(items, Output) and is_ours(items.operator):
            entries: set[str | None] = getattr(items.operator, "mapped_over", set())
            entries.add(items.entry)
            if len(entries) > 1:  # Airflow stores one length for each task
                raise ValueError(
                    f"Only one entry of the result of {items.operator.task_id!r} can be "
                    f"mapped over, not {' and '.join(map(repr, entries))}."
                )
        return items.map(_naming(name))
    if not isinstance(items, Sequence) or isinstance(items, str):
        kind = type(items).__name__
        raise ValueError(f"Task {task.task_id!r}: {name!r} must be a list, not {kind}.")
    if not items:
        raise ValueError(f"Task {task.task_id!r}: {name!r} is an empty list.")
    return [{name: item} for item in items]


def _naming(name: str) -> Callable[[Any], dict[str, Any]]:
    def named(item: Any) -> dict[str, Any]:
        return {name: item}

    named.argument = name  # type: ignore[attr-defined]
    return named


def _leave(task: FunctionTask) -> None:
    """Remove a task from its DAG and its group."""
    del task.dag.task_dict[task.task_id]
    for group in filter(None, (task.task_group, task.dag.task_group)):
        group.children.pop(task.task_id, None)
        group.used_group_ids.discard(task.task_id)
