"""Doubles of the Kubernetes API and of the program `minikube`, for machines that have neither."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent


@contextlib.contextmanager
def running_double(python: Path, folder: Path, script: str = "double.py") -> Iterator[None]:
    """The API, answering; by the interpreter of an Airflow environment, which has all it needs.

    Its pods are containers, or with `simulated.py` nothing at all.
    """
    log = (folder / "double.log").open("w")
    process = subprocess.Popen([python, HERE / script, folder], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not (folder / "kubeconfig.json").exists():
            assert time.monotonic() < deadline, (folder / "double.log").read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)
