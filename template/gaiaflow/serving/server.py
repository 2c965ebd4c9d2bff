"""Serve one version of a model on the supervisor's socket, until the supervisor says to leave."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import uvicorn

from gaiaflow.serving.app import App, Limits
from gaiaflow.serving.models import champion, load, new_champions
from gaiaflow.serving.request_log import RequestLog
from gaiaflow.serving.scenes import configured
from gaiaflow.serving.store import Store

_IDLE = 60  # seconds that an idle connection is kept
_PATIENCE = 8.0  # seconds that clients get to close their connections when a worker leaves


def serve(options: Any) -> None:
    """Load the model, and serve it until a signal or the supervisor ends this process.

    Args:
        options: see `gaiaflow.serving.worker`.

    Raises:
        CantServe: there is no champion, or the model does not load.
    """
    name, channel = options.model, socket.socket(fileno=options.channel)
    store = Store(os.environ["S3_BUCKET"])
    scenes = configured(store, name, os.environ)
    os.environ.pop("AIRFLOW_PASSWORD", None)  # models and their libraries don't need it
    version = options.version or champion(name)
    model = load(name, version, options.folder)
    share = float(os.environ.get("SERVING_LOG_SHARE") or 1)
    log = RequestLog(store.put, name, version, share, options.flush)
    limits = Limits(int(options.max_mib * 2**20), options.max_waiting, options.timeout)
    app = App(model, name, version, os.environ["SERVING_KEY"], log, limits, scenes)
    gc.collect()
    gc.freeze()  # what is loaded now stays: later collections need not look at it
    _in_background(lambda: _report(name, version, channel))
    Server(app, channel, version).run(sockets=[socket.socket(fileno=options.listener)])
    log.close()


class Server(uvicorn.Server):
    """A server that says when it accepts connections, and can leave without refusing any."""

    def __init__(self, app: App, channel: socket.socket, ready: str) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_keep_alive=_IDLE,
                timeout_graceful_shutdown=8,
            )
        )
        self._app = app
        self._channel = channel
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, and say so."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        _in_background(lambda: self._obey(loop))
        self._channel.sendall(f"ready {self._ready}\n".encode())

    def _obey(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the supervisor's command, or for its end."""
        command = self._channel.recv(100)
        with contextlib.suppress(RuntimeError):  # the loop has just ended
            if command:
                asyncio.run_coroutine_threadsafe(self._leave(), loop)
            else:  # nobody would replace or end this process
                loop.call_soon_threadsafe(setattr, self, "should_exit", True)

    async def _leave(self) -> None:
        """Accept no more connections, and ask for the end of those that there are.

        A client may be sending its next request, so they are not simply closed: each answer asks
        for it.
        """
        self._app.leaving = True
        for server in self.servers:
            server.close()
        deadline = time.monotonic() + _PATIENCE
        while self.server_state.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        self.should_exit = True


def _report(model: str, version: str, channel: socket.socket) -> None:
    """Tell the supervisor about new champions."""
    for found in new_champions(model, version):
        with contextlib.suppress(OSError):  # it has ended
            channel.sendall(f"champion {found}\n".encode())


def _in_background(function: Callable[[], None]) -> None:
    threading.Thread(target=function, daemon=True).start()
