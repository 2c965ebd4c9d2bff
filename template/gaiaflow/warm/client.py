"""Airflow's side: call a function in a fork of the server.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from gaiaflow import __version__
from gaiaflow.project.paths import StateFolder
from gaiaflow.warm import wire

_PATIENCE = 10.0  # seconds for the server, which may be importing what a task has reported


class WarmTask:
    """A running task: the part of `subprocess.Popen` that the operator uses."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._connection = connection

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Return its exit code, or -N if signal N ended it.

        Raises:
            subprocess.TimeoutExpired: it has not ended in time.
        """
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("the task", timeout or 0)
            try:
                self.returncode = wire.receive(self._connection)["exit"]
            except (OSError, ValueError):  # its guard was killed
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
                self.returncode = -signal.SIGKILL
            self._connection.close()
        return self.returncode


def start(
    python: str,
    root: Path,
    reference: str,
    base: Mapping[str, str],
    call: Mapping[str, str],
    output: int,
) -> WarmTask | None:
    """Call a function in a fork of the server.

    Args:
        python: the interpreter of the project's environment.
        base: environment variables, the same for all tasks; the server is started with them.
        call: those of this task alone, which only the runner and the function read.
        output: the file descriptor for what the function prints.

    Returns:
        The task; or None if it must be a new process, because there is no server. Then this starts
        one for later tasks.
    """
    if sys.platform != "linux":
        return None
    try:
        connection = wire.connect(root)
    except OSError:
        _launch(python, root, base)
        return None
    request = {"version": __version__, "reference": reference, "base": base, "call": call}
    connection.settimeout(_PATIENCE)
    try:
        wire.send_request(connection, request, output)
        pid = wire.receive(connection)["pid"]
        wire.send(connection, {})
    except (OSError, ValueError):
        connection.close()
        return None
    connection.settimeout(None)
    return WarmTask(connection, pid)


def _launch(python: str, root: Path, env: Mapping[str, str]) -> None:
    """Start the server, unless it is starting."""
    with wire.new() as probe:
        try:
            probe.bind(wire.name(root))
        except OSError:
            return
    log = StateFolder(root).logs / "warm-tasks.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        subprocess.Popen(
            [python, "-u", "-m", "gaiaflow.warm"],
            cwd=root,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
