"""Tells people that a task waits for an answer, such as an approval.

Airflow calls `task_policy` for each task of a DAG that it reads, here, so that no DAG has to ask
for it. The notifier is called in the task's own process, once it has asked.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from airflow.policies import hookimpl
from airflow.sdk import BaseNotifier
from airflow.sdk.definitions.mappedoperator import MappedOperator

from gaiaflow.notifying.messages import Message
from gaiaflow.notifying.outbox import deliver

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

logger = logging.getLogger(__name__)

_OPERATORS = "airflow.providers.standard.operators.hitl"


class QuestionNotifier(BaseNotifier):
    """Sends the question, and the address of the page where somebody can answer."""

    def notify(self, context: Context) -> None:
        """Send it, at once: this process ends soon. It never raises, since the task would fail."""
        try:
            task: Any = context["task"]
            lines = [task.body, task.generate_link_to_ui_from_context(context=context)]
            title = f"{context['ti'].dag_id} waits for an answer: {task.subject}"
            deliver(Message(title, "\n".join(filter(None, lines))))
        except Exception:
            logger.warning("Nobody was told that this task waits.", exc_info=True)


@hookimpl
def task_policy(task: BaseOperator | MappedOperator) -> None:
    """Add the notifier to a task that asks people."""
    asking = sys.modules.get(_OPERATORS)
    if asking is None:  # no DAG of this process has such a task
        return
    if isinstance(task, MappedOperator):
        if issubclass(task.operator_class, asking.HITLOperator):
            given = task.partial_kwargs.get("notifiers")
            task.partial_kwargs["notifiers"] = _with_ours(given)
    elif isinstance(task, asking.HITLOperator):
        task.notifiers = _with_ours(task.notifiers)


def _with_ours(notifiers: Any) -> list[BaseNotifier]:
    given = [notifiers] if isinstance(notifiers, BaseNotifier) else list(notifiers or ())
    return [*given, QuestionNotifier()]
