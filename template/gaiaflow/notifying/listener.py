"""Turns what happens in Airflow into messages.

Airflow calls these functions in the scheduler and in the API server: they must be quick.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl
from airflow.utils.state import TaskInstanceState
from sqlalchemy.orm import object_session

from gaiaflow.notifying.messages import Message, run_page
from gaiaflow.notifying.outbox import OUTBOX

if TYPE_CHECKING:
    from airflow.listeners.types import AssetEvent
    from airflow.models.dagrun import DagRun

# The entry of an asset's `extra` with what people are told when it is updated.
TEXT = "notify"

_REASONS = {
    "task_failure": "",  # the names of the tasks say it
    "timed_out": "It took longer than its dagrun_timeout.",
    "all_tasks_deadlocked": "None of its remaining tasks can run.",
}


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Tell which tasks have failed."""
    lines = [
        _REASONS.get(msg, msg),
        _failed_tasks(dag_run),
        run_page(dag_run.dag_id, dag_run.run_id),
    ]
    OUTBOX.post(Message(f"{dag_run.dag_id} failed", "\n".join(filter(None, lines)), failure=True))


@hookimpl
def on_asset_event_emitted(asset_event: AssetEvent) -> None:
    """Tell that an asset was updated, if it has a text for that."""
    text = asset_event.extra.get(TEXT) or asset_event.asset.extra.get(TEXT)
    if not text:
        return
    lines = [
        f"{name}: {value}"
        for name, value in asset_event.extra.items()
        if name != TEXT and isinstance(value, (str, int, float))
    ]
    if asset_event.source_dag_id and asset_event.source_run_id:
        lines.append(run_page(asset_event.source_dag_id, asset_event.source_run_id))
    OUTBOX.post(Message(str(text), "\n".join(lines)))


def _failed_tasks(dag_run: DagRun) -> str:
    session = object_session(dag_run)  # another one would commit what the scheduler is doing
    if session is None:
        return ""
    failed = dag_run.get_task_instances(state=[TaskInstanceState.FAILED], session=session)
    counts = Counter(ti.task_id for ti in failed)
    names = (f"{name} ({count})" if count > 1 else name for name, count in counts.items())
    return f"Failed: {', '.join(names)}" if counts else ""
