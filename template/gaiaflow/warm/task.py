"""What a fork of the server does.

Standard library only.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import runpy
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from gaiaflow.warm import wire

_PIECE = 4096  # bytes; up to this size, a pipe keeps the pieces of several writers apart


@dataclass(frozen=True)
class Task:
    """A function to call.

    connection: to the client.
    framework: the modules of the framework that the server has imported.
    reports: a pipe to the server, for the names of the modules that the function needed.
    """

    reference: str
    root: Path
    env: Mapping[str, str]
    connection: socket.socket
    framework: Sequence[str]
    reports: int

    def run(self) -> None:
        """Do as `python -m gaiaflow.runner REFERENCE` does, which ends with SystemExit."""
        os.chdir(self.root)
        os.environ.clear()
        os.environ.update(self.env)
        self._forget_framework()
        _reseed()
        atexit.register(self._report, len(sys.modules))
        sys.argv[1:] = [self.reference]
        runpy.run_module("gaiaflow.runner", run_name="__main__", alter_sys=True)

    def end(self, code: int) -> NoReturn:
        """Report the end and exit. Until the system has freed the memory, 10 ms may pass."""
        if os.getsid(0) == os.getpid():  # not in a fork of the function's
            with contextlib.suppress(OSError):
                wire.send(self.connection, {"exit": code})
        for stream in (1, 2):
            os.close(stream)  # so that the client sees the end of the output
        os._exit(code)

    def _forget_framework(self) -> None:
        """Import it again: it may have changed like the project's own code."""
        for name in self.framework:
            del sys.modules[name]

    def _report(self, known: int) -> None:
        """Name the modules that were imported since there were so many."""
        # From the end: to touch an object in a fork copies its memory.
        new = [*itertools.islice(reversed(sys.modules), len(sys.modules) - known)]
        pieces = [""]
        for name in reversed(new):
            if len(pieces[-1]) + len(name) >= _PIECE:
                pieces.append("")
            pieces[-1] += f"{name}\n"
        with contextlib.suppress(OSError):  # the server has ended, or is busy
            for piece in pieces:
                os.write(self.reports, piece.encode())


def _reseed() -> None:
    """Give each fork random numbers of its own. Python's `random` does that by itself."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
