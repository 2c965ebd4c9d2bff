"""Train a model, serve it and ask it, without a stack: `python -m gaiaflow.smoke`

CI runs this in the project's image. The model is what `train_sample()` of PACKAGE/train/sample.py
logs to MLflow; a project without that module gets a tiny one. Exit code 0: it answered.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from gaiaflow.project.clients import MLFLOW_CLIENT
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_identity
from gaiaflow.project.paths import ROOT

MODEL = "smoke"  # its name in a registry that lasts as long as this program
LIMIT = 180.0  # seconds until the model must be served

# Only our own server is asked, whatever proxy the shell names.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """The model isn't served as it should be. The message says what happened."""


def main() -> NoReturn:
    """Train, serve and ask; end with 0, or with a message and 1."""
    package = read_identity(ROOT).package
    sys.path.insert(0, str(ROOT))  # the working directory is a different one
    with TemporaryDirectory(prefix="gaiaflow-smoke-") as folder, contextlib.chdir(folder):
        _isolate(Path(folder))
        try:
            predictions = serve(*train(package), Path(folder))
        except Failed as error:
            raise SystemExit(f"error: {error}") from None
    shown = ", ".join(map(str, predictions[:3]))
    sys.stdout.write(f"The served model answers: {shown}\n")
    raise SystemExit(0)


def _isolate(folder: Path) -> None:
    """Point MLflow to this folder, and serving to nothing: this must not depend on a stack."""
    for name in ("MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        os.environ.pop(name, None)
    os.environ |= MLFLOW_CLIENT | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder.as_posix()}/mlflow.db",
        "GIT_PYTHON_REFRESH": "quiet",  # the image has no git
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "S3_BUCKET": MODEL,  # nothing is stored: the share is 0
        "SERVING_KEY": secrets.token_urlsafe(),
        "SERVING_LOG_SHARE": "0",
    }


def train(package: str) -> tuple[str, bytes]:
    """Train the model and make it the champion of `MODEL`.

    Returns:
        Its version, and a request: the model's input example in MLflow's protocol.
    """
    import mlflow

    name = f"{package}.train.sample"
    try:
        uri = importlib.import_module(name).train_sample()["model"]
        sys.stderr.write(f"Trained by {name}.train_sample\n")
    except ModuleNotFoundError as error:
        if error.name not in (f"{package}.train", name):
            raise
        uri = _train_tiny()
        sys.stderr.write(f"There is no module {name}, so a tiny model is served.\n")
    entry = mlflow.register_model(uri, MODEL)
    mlflow.MlflowClient().set_registered_model_alias(MODEL, "champion", entry.version)
    folder = Path(mlflow.artifacts.download_artifacts(uri))
    request = folder / "serving_input_example.json"
    if not request.exists():
        raise Failed("The model has no example to ask with: log it with input_example=...")
    return str(entry.version), request.read_bytes()


def _train_tiny() -> str:
    """A model that only a working image can serve, whatever the project's own are like."""
    import mlflow
    import numpy as np
    from sklearn.dummy import DummyClassifier

    example = np.zeros((2, 1))
    model = DummyClassifier().fit(example, ["a", "b"])
    named = {"pip_requirements": ["scikit-learn"]}  # or MLflow would search for them
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(model, name="model", input_example=example, **named)
    return str(info.model_uri)


def serve(version: str, request: bytes, folder: Path) -> list[Any]:
    """Serve the champion in a process, and ask it: with a key and without.

    Returns:
        The predictions.

    Raises:
        Failed: it ended, isn't served in time, or gives another answer than it should.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "gaiaflow.serving.supervisor", "--port", str(port)]
    server = subprocess.Popen([*command, "--model", MODEL, "--folder", str(folder / "served")])
    try:
        _wait(server, f"{url}/ping")
        code, text = _ask(f"{url}/invocations", request)
        if code != 401:
            raise Failed(f"A request without a key was answered with {code} instead of 401: {text}")
        code, text = _ask(f"{url}/invocations", request, os.environ["SERVING_KEY"])
        if code != 200:
            raise Failed(f"A prediction was answered with {code}: {text}")
        return list(json.loads(text)["predictions"])
    finally:
        server.terminate()
        server.wait()


def _wait(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Failed(f"Serving ended with exit code {server.returncode}; see above.")
        with contextlib.suppress(OSError):  # it doesn't listen yet, or still loads the model
            if _ask(url, timeout=5)[0] == 200:
                return
        time.sleep(0.1)
    raise Failed(f"The model was not served within {LIMIT:g} s.")


def _ask(
    url: str, body: bytes | None = None, key: str = "", timeout: float = 60
) -> tuple[int, str]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    try:
        with _opener.open(urllib.request.Request(url, body, headers), timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


if __name__ == "__main__":
    try:
        main()
    except GaiaflowError as error:
        raise SystemExit(f"error: {error}") from None
