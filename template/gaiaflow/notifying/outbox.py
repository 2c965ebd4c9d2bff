"""Sends messages beside what Airflow does, and reports what was not sent in its log."""

from __future__ import annotations

import json
import logging
import queue
import subprocess
import sys
import threading
from dataclasses import asdict

from gaiaflow.notifying.messages import Message

logger = logging.getLogger(__name__)

_LIMIT = 30.0  # seconds for a message to all URLs
_MOST = 100  # messages that wait; more would come too late anyway


class Outbox:
    """Messages that wait to be sent, one after the other, by a thread."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Message] = queue.Queue(_MOST)
        self._thread: threading.Thread | None = None

    def post(self, message: Message) -> None:
        """Have a message sent. It returns at once and never raises because of the message."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            logger.warning("Not sent, since %d messages wait: %s", _MOST, message.title)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="notifying", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            deliver(self._waiting.get())


def deliver(message: Message) -> None:
    """Send a message within 30 seconds; log what went wrong, without the URLs."""
    # In a process of its own: it can be ended, its packages don't stay in a service's memory, and
    # the scheduler, which forks, must not do so while a thread imports.
    command = [sys.executable, "-m", "gaiaflow.notifying.sending"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asdict(message)),
            capture_output=True,
            encoding="utf-8",
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        problem = f"not sent to all within {_LIMIT:.0f} s"
    except OSError as error:
        problem = str(error)
    else:
        problem = done.stdout.strip() or (f"exit code {done.returncode}" if done.returncode else "")
    if problem:
        logger.warning("Not sent: %s\n%s", message.title, problem)


OUTBOX = Outbox()
