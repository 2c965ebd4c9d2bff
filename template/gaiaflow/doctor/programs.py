"""Run other programs with a time limit, and each command only once.

Uses subprocess instead of plumbum: doctor also runs before Airflow's environment, which has
plumbum, exists.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MISSING, _TIMEOUT = 127, 124  # as in shells and timeout(1)


@dataclass(frozen=True)
class Answer:
    """A program's output and exit code."""

    code: int
    out: str
    err: str

    @property
    def timed_out(self) -> bool:
        return self.code == _TIMEOUT

    @property
    def complaint(self) -> str:
        """The last line of the error output."""
        return (self.err.strip() or self.out.strip() or "no output").splitlines()[-1]


class Programs:
    """The programs on a PATH. Answers are cached because parallel checks run the same commands.

    limit: seconds before a program is killed.
    """

    def __init__(self, environ: Mapping[str, str], limit: float = 5.0) -> None:
        self.environ = environ
        self.limit = limit
        self._answers: dict[tuple[str, ...], Answer] = {}
        self._locks: dict[tuple[str, ...], threading.Lock] = {}
        self._mutex = threading.Lock()

    def find(self, name: str, *folders: Path) -> str | None:
        """Find a program on PATH, or else in one of these folders."""
        places = [self.environ.get("PATH", os.defpath), *map(str, folders)]
        return shutil.which(name, path=os.pathsep.join(places))

    def ask(self, *command: str, times: float = 1.0) -> Answer:
        """Run a command that changes nothing, within `times` the time limit; cache its answer."""
        with self._mutex:
            lock = self._locks.setdefault(command, threading.Lock())
        with lock:
            if command not in self._answers:
                self._answers[command] = self._run(command, times * self.limit)
            return self._answers[command]

    def _run(self, command: tuple[str, ...], limit: float) -> Answer:
        program = self.find(command[0])
        if not program:
            return Answer(_MISSING, "", f"{command[0]} was not found")
        try:
            process = subprocess.Popen(
                [program, *command[1:]],
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            return Answer(_MISSING, "", f"{program}: {error.strerror}")
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):  # its children hold our pipes
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return Answer(_TIMEOUT, "", f"{command[0]} did not answer within {limit:.0f} s")
        return Answer(process.returncode, out, err)
