"""The server of warm tasks: `python -m gaiaflow.warm`, in the project's folder."""

from __future__ import annotations

import atexit
import functools
import sys
from collections.abc import Callable
from typing import NoReturn


class _Exit:
    """Skips the last part of a task's exit, in which Python would free all modules one by one.

    Handlers run in the reverse order of their registration: this one, registered before those of
    all libraries, runs last.
    """

    end: Callable[[], NoReturn] | None = None

    def __call__(self) -> None:
        if self.end:
            sys.stdout.flush()
            sys.stderr.flush()
            self.end()


leave = _Exit()
atexit.register(leave)

from gaiaflow.project.paths import ROOT  # noqa: E402
from gaiaflow.warm.server import serve  # noqa: E402

if task := serve(ROOT):
    try:
        task.run()
    except SystemExit as ended:
        if isinstance(ended.code, int):
            leave.end = functools.partial(task.end, ended.code & 0xFF)
        raise
