"""Hold the port, keep one worker serving, and replace it when the model has a new champion.

Connections wait in the socket while there is no worker, so a crash refuses none. Standard library
only, to keep its memory small.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

logger = logging.getLogger("gaiaflow.serving")

_LOAD_LIMIT = 600.0  # seconds that a worker may take to load its model
_RETRY = 60.0  # seconds until a version that failed to load is tried again
_CRASHES, _WITHIN = 5, 60.0  # so many crashes within so many seconds end the server
_GRACE = 10.0  # seconds that workers get to finish their requests
_QUEUE = 1024  # connections that wait for a worker
_ENV = {
    # Memory goes back to the system, instead of into pools for each thread.
    "MALLOC_ARENA_MAX": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # by default, it tries for minutes
    "PROMETHEUS_DISABLE_CREATED_SERIES": "true",  # a line more for each metric
}


class Worker:
    """A process that serves one version, or is about to.

    Its channel carries lines of text. It reports "ready VERSION" and "champion VERSION", and obeys
    "leave"; the end of the file says that one of the two processes has ended.

    It downloads its model into the folder, unless a worker before it has done so.
    """

    def __init__(
        self, listener: socket.socket, options: Sequence[str], version: str, folder: Path
    ) -> None:
        self.version = version
        self.started = time.monotonic()
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.channel, theirs = socket.socketpair()
        self._text = b""
        inherited = (listener.fileno(), theirs.fileno())
        command = [
            *(sys.executable, "-m", "gaiaflow.serving.worker", *options),
            *("--listener", str(inherited[0]), "--channel", str(inherited[1])),
            *("--folder", str(folder), "--version", version),
        ]
        with theirs:
            self.process = subprocess.Popen(command, pass_fds=inherited, env=_ENV | os.environ)

    def lines(self) -> list[str] | None:
        """What it has reported since the last call; None once it has ended."""
        try:
            received = self.channel.recv(4096)
        except OSError:
            received = b""
        if not received:
            return None
        *complete, self._text = (self._text + received).split(b"\n")
        return [line.decode() for line in complete]

    def leave(self) -> None:
        """Tell it to accept no more connections, and to end when the last one is closed."""
        with contextlib.suppress(OSError):  # it has just ended
            self.channel.sendall(b"leave\n")

    def end(self, grace: float) -> int:
        """Make sure that it has ended, and return its exit code."""
        try:
            code = self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.channel.close()
        return code


class Supervisor:
    """Keeps a worker serving.

    Args:
        listener: the listening socket.
        model: the name of the registered model.
        options: command-line options that all workers get.
        folder: for downloaded models.
    """

    def __init__(
        self, listener: socket.socket, model: str, folder: Path, options: Sequence[str] = ()
    ) -> None:
        self._listener = listener
        self._model = model
        self._options = ["--model", model, *options]
        self._serving: Worker | None = None
        self._loading: Worker | None = None
        self._leaving: list[Worker] = []
        self._failed: dict[str, float] = {}  # versions that did not load, and when
        self._crashes: deque[float] = deque(maxlen=_CRASHES)
        self._folders = (folder / str(number) for number in itertools.count())
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Serve until a signal arrives or no worker can serve; return the exit code."""
        signals, wake = socket.socketpair()
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self._selector.register(signals, selectors.EVENT_READ)
        self._load("")
        try:
            while self._serving or self._loading:
                heard = [key.data for key, _ in self._selector.select(timeout=1.0)]
                if None in heard:  # a signal, which workers may have got, too
                    return 0
                for worker in heard:
                    self._hear(worker)
                self._end_hung()
            return 1
        finally:
            self._end_all()

    def _load(self, version: str, folder: Path | None = None) -> None:
        """Start a worker for a version; without one, for the champion.

        Args:
            folder: has that version's model already.
        """
        folder = folder or next(self._folders)
        self._loading = Worker(self._listener, self._options, version, folder)
        self._selector.register(self._loading.channel, selectors.EVENT_READ, self._loading)

    def _hear(self, worker: Worker) -> None:
        lines = worker.lines()
        if lines is None:
            self._selector.unregister(worker.channel)
            self._ended(worker, worker.end(_GRACE))
            return
        for line in lines:
            what, _, version = line.partition(" ")
            if what == "ready":
                self._take_over(worker, version)
            elif what == "champion" and worker is self._serving:
                self._replace(version)

    def _take_over(self, worker: Worker, version: str) -> None:
        worker.version = version
        self._failed.pop(version, None)
        if self._serving:
            self._serving.leave()
            self._leaving.append(self._serving)
        self._serving, self._loading = worker, None
        logger.info("version %s of %s is served", version, self._model)

    def _replace(self, version: str) -> None:
        failed = self._failed.get(version)
        if self._loading or (failed and time.monotonic() - failed < _RETRY):
            return
        logger.info("version %s of %s is the new champion: loading it", version, self._model)
        self._load(version)

    def _ended(self, worker: Worker, code: int) -> None:
        if worker in self._leaving:
            self._leaving.remove(worker)
        elif worker is self._serving:
            self._serving = None
            self._crashed(worker, code, worker.folder)
        elif worker is self._loading:
            self._loading = None
            if self._serving:
                self._failed[worker.version] = time.monotonic()
                logger.error(
                    "version %s of %s does not load, as its messages above say; version %s "
                    "goes on serving",
                    *(worker.version, self._model, self._serving.version),
                )
            elif self._crashes:  # it was to replace one that served
                self._crashed(worker, code)
        if not self._loading or self._loading.folder != worker.folder:
            shutil.rmtree(worker.folder, ignore_errors=True)

    def _crashed(self, worker: Worker, code: int, folder: Path | None = None) -> None:
        """Start the same version again, unless that has not helped several times."""
        now = time.monotonic()
        self._crashes.append(now)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        logger.error("the worker for version %s ended: %s", worker.version, how)
        if len(self._crashes) == _CRASHES and now - self._crashes[0] < _WITHIN:
            logger.error("it has ended %d times within %.0f s: giving up", _CRASHES, _WITHIN)
        elif self._loading is None:  # else its successor is about to serve
            self._load(worker.version, folder)

    def _end_hung(self) -> None:
        now = time.monotonic()
        if self._loading and now - self._loading.started > _LOAD_LIMIT:
            logger.error("the model was not loaded within %.0f s", _LOAD_LIMIT)
            self._loading.process.kill()

    def _end_all(self) -> None:
        workers = [self._serving, self._loading, *self._leaving]
        running = [worker for worker in workers if worker]
        for worker in running:
            worker.process.terminate()
        deadline = time.monotonic() + _GRACE
        for worker in running:
            worker.end(max(0.0, deadline - time.monotonic()))
            shutil.rmtree(worker.folder, ignore_errors=True)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that workers inherit."""
    listener = socket.create_server((host, port), backlog=_QUEUE)
    listener.setblocking(False)
    return listener


def main() -> NoReturn:
    """Serve until a signal arrives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True, help="the name of the registered model")
    parser.add_argument(
        "--folder", type=Path, required=True, help="for downloaded models; it is emptied first"
    )
    options, others = parser.parse_known_args()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        listener = listen(options.host, options.port)
    except OSError as error:
        sys.exit(f"Port {options.port} can't be used: {error.strerror}")
    shutil.rmtree(options.folder, ignore_errors=True)  # left by a crash
    options.folder.mkdir(parents=True)
    sys.exit(Supervisor(listener, options.model, options.folder, others).run())


if __name__ == "__main__":
    main()
