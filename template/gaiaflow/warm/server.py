"""The server: imports packages once, and forks for every task.

It ends when it is idle, or outdated by a change of the project's environment, but not before its
tasks, because only their parent learns how they ended.

Standard library only.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from gaiaflow import __version__
from gaiaflow.project.paths import StateFolder
from gaiaflow.warm import modules, wire
from gaiaflow.warm.task import Task

IDLE = 600.0  # seconds without a task, after which the server ends
_PATIENCE = 10.0  # seconds for a request to arrive
_BACKLOG = 64


class Outdated(Exception):
    """The environment has changed, or the framework."""


def serve(root: Path) -> Task | None:
    """Serve until the server is idle or outdated, and return None; in a fork, return its task."""
    with wire.new() as listener:
        try:
            listener.bind(wire.name(root))
        except OSError:  # another server is there
            return None
        server = _Server(root, listener)
        try:
            task = server.serve()
        except Outdated:
            task = None
    if task is None:  # now another server may start
        server.wait()
    return task


class _Server:
    """Listens for requests, forks, and reports how the forks ended."""

    def __init__(self, root: Path, listener: socket.socket) -> None:
        self._root = root
        self._listener = listener
        self._env = dict(os.environ)  # before libraries change it
        self._stamp = modules.stamp()
        self._modules = modules.Modules(root, StateFolder(root).warm)
        self._framework: list[str] = []  # its modules that are imported here
        self._news, self._reports = os.pipe()
        os.set_blocking(self._reports, False)  # a task does not wait for the server at its end
        self._tasks: dict[int, socket.socket] = {}
        self._ended, wake = os.pipe()  # gets a byte when a task ends
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def serve(self) -> Task | None:
        self._modules.load()
        self._framework = [name for name in sys.modules if name.partition(".")[0] == "gaiaflow"]
        gc.freeze()  # or a collection in a fork would copy the memory of all modules
        self._listener.listen(_BACKLOG)  # before, clients can't connect
        sources: list[socket.socket | int] = [self._listener, self._news, self._ended]
        while True:
            ready = select.select(sources, [], [], IDLE)[0]
            if not ready and not self._tasks:
                return None
            if self._ended in ready:
                self._reap()
            if self._news in ready:
                self._modules.learn(os.read(self._news, 1 << 16).decode().split())
                gc.freeze()
            if self._listener in ready:
                connection, _ = self._listener.accept()
                connection.settimeout(_PATIENCE)
                with contextlib.suppress(OSError, ValueError):
                    if task := self._answer(connection):
                        return task

    def wait(self) -> None:
        """Wait for the tasks that are still running."""
        while self._tasks:
            select.select([self._ended], [], [])
            self._reap()

    def _answer(self, connection: socket.socket) -> Task | None:
        """Fork for a request; return the task in its fork.

        Raises:
            OSError, ValueError: the client can't be trusted or served, or has gone.
            Outdated: the server can't serve any longer.
        """
        try:
            request, output = wire.receive_request(connection)
            try:
                self._check(request)
                return self._fork(connection, request, output)
            finally:
                os.close(output)
        except BaseException:
            connection.close()
            raise

    def _check(self, request: dict[str, Any]) -> None:
        if request["version"] != __version__ or self._stamp != modules.stamp():
            raise Outdated
        # Libraries may have read these when they were imported. Python itself adds LC_CTYPE.
        if {**request["env"], "LC_CTYPE": ""} != {**self._env, "LC_CTYPE": ""}:
            raise ValueError("the task needs other environment variables")

    def _fork(self, connection: socket.socket, request: dict[str, Any], output: int) -> Task | None:
        if pid := os.fork():
            self._tasks[pid] = connection
            return None
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in (self._listener, *self._tasks.values()):
            other.close()
        for pipe in (self._news, self._ended):
            os.close(pipe)
        try:
            os.setsid()
            wire.send(connection, {"pid": os.getpid()})
            wire.receive(connection)
        except (OSError, ValueError):  # it stopped waiting
            os._exit(0)
        for stream in (1, 2):
            os.dup2(output, stream)
        env = self._env | request["call"]
        return Task(
            request["reference"], self._root, env, connection, self._framework, self._reports
        )

    def _reap(self) -> None:
        """Report the tasks that have ended without doing so themselves."""
        os.read(self._ended, 1 << 16)
        for pid in [*self._tasks]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with self._tasks.pop(pid) as connection, contextlib.suppress(OSError):
                    wire.send(connection, {"exit": os.waitstatus_to_exitcode(status)})


def _nothing(_: int, __: FrameType | None) -> None:
    """With a handler, even this, a signal wakes the server."""
