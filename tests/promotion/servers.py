"""Real MLflow servers, as `mlflow` of a project's services and of deploy/ runs them.

Standard library only.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[2] / "template"
PACKAGE = "forest_watch"
DIRECT = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,127.0.0.2")
LIMIT = 120  # seconds until a server answers; some seconds on a quiet machine


@dataclass(frozen=True)
class Tracking:
    """A server with its own database, files and password."""

    folder: Path
    env: dict[str, str]

    @property
    def url(self) -> str:
        return self.env["MLFLOW_TRACKING_URI"]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def password(self) -> str:
        return self.env["MLFLOW_TRACKING_PASSWORD"]

    @property
    def files(self) -> Path:
        return self.folder / "files"

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + LIMIT
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            try:
                direct.open(f"{self.url}/health", timeout=10).close()
                return
            except OSError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.1)


@contextmanager
def running(folder: Path, name: str, python: str | Path = sys.executable) -> Iterator[Tracking]:
    """A server that has been started, but may not answer yet."""
    folder.mkdir()
    port = _free_port()
    server = Tracking(
        folder,
        {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": f"canary-{name}-password",
        },
    )
    options = [
        f"--port={port}",
        f"--backend-store-uri=sqlite:///{folder}/mlflow.db",
        f"--artifacts-destination={server.files}",
    ]
    environ = {
        **os.environ,
        **server.env,
        **DIRECT,
        "PYTHONPATH": str(TEMPLATE),
        "MLFLOW_EXPERIMENT_NAME": PACKAGE,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*,127.0.0.2:*",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [str(python), "-m", "gaiaflow.entrypoints.mlflow_server", *options]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
        try:
            yield server
        finally:
            process.terminate()
            process.wait(LIMIT)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
