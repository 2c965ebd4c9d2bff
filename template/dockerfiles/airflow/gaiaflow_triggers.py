"""What Airflow's triggerer runs for tasks in mode `prod`. It is a part of Airflow's image.

It can't be in `gaiaflow`: each DAG bundle has its own, and the triggerer has none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.triggers.base import TriggerEvent

# Airflow 3.3 fails a task that is resumed before the scheduler has noticed the end of the process
# that deferred it (apache/airflow#67287, #72716). A busy scheduler needs seconds for that.
_NOT_BEFORE = 20.0


class PodTrigger(KubernetesPodTrigger):
    """The provider's trigger, but it never resumes a task within 20 s."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments, for the triggerer."""
        return f"{__name__}.{type(self).__name__}", super().serialize()[1]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch the pod, write its log, and yield one event at its end."""
        began = time.monotonic()
        async for event in super().run():
            await asyncio.sleep(_NOT_BEFORE - (time.monotonic() - began))
            yield event
