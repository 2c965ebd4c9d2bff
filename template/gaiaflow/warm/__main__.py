"""The server of warm tasks: `python -m gaiaflow.warm`, in the project's folder."""

from __future__ import annotations

import atexit
import os
import sys


class _Exit:
    """Skips the last part of a task's exit, in which Python would free all modules one by one.

    Handlers run in the reverse order of their registration: this one, registered before those of
    all libraries, runs last.
    """

    code: int | None = None

    def __call__(self) -> None:
        if self.code is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self.code & 0xFF)


leave = atexit.register(_Exit())

from gaiaflow.project.paths import ROOT  # noqa: E402
from gaiaflow.warm.server import serve  # noqa: E402

if task := serve(ROOT):
    try:
        task.run()
    except SystemExit as ended:
        leave.code = ended.code if isinstance(ended.code, int) else None
        raise
