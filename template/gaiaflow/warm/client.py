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
import threading
from collections.abc import Mapping
from pathlib import Path

from gaiaflow import __version__
from gaiaflow.project import inherited, variables
from gaiaflow.project.paths import StateFolder
from gaiaflow.warm import modules, wire

_PATIENCE = 10.0  # seconds for the server, which may be importing what a task has reported


# Airflow's configuration, which has the keys to its database, and what only operators read.
_HIDDEN = ("AIRFLOW_", "_AIRFLOW_", variables.SECRETS, variables.NOTIFY_URLS)


def base(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment variables for all tasks, from those of Airflow's scheduler or a task."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_HIDDEN)}
    return kept | inherited.task_proxies(environ)


class WarmTask:
    """A running task: the part of `subprocess.Popen` that the operator uses."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._connection = connection
        self._lock = threading.RLock()  # a signal's handler may wait, too

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Return its exit code, or -N if signal N ended it.

        Raises:
            subprocess.TimeoutExpired: it has not ended in time.
        """
        if self.returncode is None:
            try:
                ready = select.select([self._connection], [], [], timeout)[0]
            except (OSError, ValueError):  # another thread, or a signal's handler, has closed it
                if self.returncode is None:
                    raise
                return self.returncode
            if not ready:
                raise subprocess.TimeoutExpired("the task", timeout or 0)
            with self._lock:
                if self.returncode is None:
                    self.returncode = self._receive()
                    self._connection.close()
        return self.returncode

    def _receive(self) -> int:
        try:
            return int(wire.receive(self._connection)["exit"])
        except (OSError, ValueError):  # the server was killed, and the task, too
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            return -signal.SIGKILL


def start(
    python: str,
    root: Path,
    reference: str,
    env: Mapping[str, str],
    call: Mapping[str, str],
    output: int,
) -> WarmTask | None:
    """Call a function in a fork of the server.

    Args:
        python: the interpreter of the project's environment.
        env: what `base` returns; the server is started with these variables.
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
        launch(python, root, env)
        return None
    request = {"version": __version__, "reference": reference, "env": env, "call": call}
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


def describe(root: Path) -> str:
    """How tasks start, in a line for people."""
    if sys.platform != "linux":
        return "each task is a new process, since forks can't use the libraries of macOS"
    try:
        wire.connect(root).close()
        text = "ready"
    except OSError:
        text = "a server imports the project's packages with the next task"
    left_out = modules.left_out(StateFolder(root).warm)
    if left_out:
        names = ", ".join(f"{name} ({why})" for name, why in left_out.items())
        text += f"; tasks import these themselves: {names}"
    return text


def launch(python: str, root: Path, env: Mapping[str, str]) -> None:
    """Start the server, unless it is running or starting; don't wait for it.

    Args:
        env: what `base` returns for an environment of Airflow's.
    """
    with wire.new() as probe:
        try:
            probe.bind(wire.name(root))
        except OSError:
            return
    log = StateFolder(root).logs / "warm-tasks.log"
    with contextlib.suppress(OSError):  # the task runs without it
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
