"""What a task would find in its pod: `python -m gaiaflow.entrypoints.probe`

`mlops_manager.py doctor staging|prod` runs it in the project's image. It prints one line of JSON,
without the value of any secret. A part says what it found (`found`), or what is wrong (`error`).
"""

from __future__ import annotations

import base64
import importlib
import importlib.metadata
import json
import os
import re
import socket
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from gaiaflow import __version__
from gaiaflow.project import clients, variables
from gaiaflow.project.identity import read_identity
from gaiaflow.project.paths import ROOT

Part = dict[str, Any]

_PREFIX = "gaiaflow-doctor"  # in the bucket
_CONNECT, _READ = 5, 15  # seconds
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


def main() -> None:
    """Look at everything, and print it."""
    # Once, and soon: a person waits.
    os.environ |= {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(_READ),
    }
    report = {"code": _guarded(code), "dns": _guarded(dns)}
    unknown = report["dns"].get("unknown", [])  # asking again would take as long
    for look, name in ((mlflow, "MLFLOW_TRACKING_URI"), (store, "AWS_ENDPOINT_URL")):
        if _host(name) not in unknown:
            report[look.__name__] = _guarded(look)
    sys.stdout.write(f"{json.dumps({'time': time.time(), **report})}\n")


def code() -> Part:
    """The framework and the commit of this image, and whether the package can be imported."""
    package = read_identity(ROOT).package
    known = {
        "framework": __version__,
        "commit": os.environ.get(variables.COMMIT, ""),
        "dirty": os.environ.get(variables.DIRTY, ""),
        "package": package,
    }
    try:
        importlib.import_module(package)
    except Exception as error:
        return {**known, "error": f"{package} can't be imported: {_said(error)}"}
    return known


def dns() -> Part:
    """The addresses of the servers' names; names without one are `unknown`."""
    hosts = dict.fromkeys(map(_host, ("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL")))
    found, wrong = [], {}
    for host in filter(None, hosts):
        try:
            found.append(f"{host} is {_resolve(host)}")
        except OSError as error:
            wrong[host] = error.strerror or str(error)
    if wrong:
        said = "; ".join(f"{host}: {why}" for host, why in wrong.items())
        return {"error": said, "unknown": list(wrong)}
    return {"found": ", ".join(found)}


def _host(variable: str) -> str:
    """The host in the address that a variable has."""
    return urlsplit(os.environ.get(variable, "")).hostname or ""


def _resolve(host: str) -> str:
    """The address of a host, within some seconds: a resolver tries for minutes.

    Raises:
        OSError: there is none.
    """
    answers: list[str | OSError] = []

    def ask() -> None:
        try:
            known = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            answers.append(str(known[0][4][0]))
        except OSError as error:
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_READ)
    answer = answers[0] if answers else OSError(f"no answer within {_READ} s")
    if isinstance(answer, OSError):
        raise answer
    return answer


def mlflow() -> Part:
    """The tracking server: whether it answers, knows this client, and lets it search."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return {"error": "MLFLOW_TRACKING_URI is not set"}
    client: Any = importlib.import_module("mlflow").MlflowClient()
    client.search_experiments(max_results=1)
    client_version = importlib.metadata.version("mlflow")
    return {"found": f"{uri} answers; server {_version(uri)}, client {client_version}"}


def _version(uri: str) -> str:
    """The version of a tracking server; unknown if it does not tell."""
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    login = base64.b64encode(":".join(os.environ.get(name, "") for name in names).encode())
    headers = {"Authorization": f"Basic {login.decode()}"}
    try:
        url = _LOGIN.sub("", uri.rstrip("/"))
        request = urllib.request.Request(f"{url}/version", headers=headers)
        with urllib.request.urlopen(request, timeout=_CONNECT) as answer:
            return str(answer.read(50).decode().strip())
    except (OSError, ValueError):
        return "unknown"


def store() -> Part:
    """The object store: put, get and delete a small object under a prefix of our own."""
    bucket = os.environ.get("S3_BUCKET")
    if not bucket:
        return {"error": "S3_BUCKET is not set"}
    boto3, config = importlib.import_module("boto3"), importlib.import_module("botocore.config")
    options = config.Config(
        connect_timeout=_CONNECT, read_timeout=_READ, retries={"total_max_attempts": 1}
    )
    client = boto3.client("s3", config=options)
    key, body = f"{_PREFIX}/{uuid.uuid4()}", os.urandom(64)
    before = time.time()
    answer = client.put_object(Bucket=bucket, Key=key, Body=body)
    middle = (before + time.time()) / 2
    try:
        if client.get_object(Bucket=bucket, Key=key)["Body"].read() != body:
            return {"error": f"{bucket} gave back something else than was put there"}
    finally:
        client.delete_object(Bucket=bucket, Key=key)
    part: Part = {
        "found": f"{client.meta.endpoint_url}: put, got and deleted an object in {bucket}"
    }
    if date := answer["ResponseMetadata"]["HTTPHeaders"].get("date"):
        part["ahead"] = parsedate_to_datetime(date).timestamp() + 0.5 - middle
    return part


def _guarded(look: Callable[[], Part]) -> Part:
    try:
        part = look()
    except Exception as error:
        part = {"error": _said(error)}
    return {
        name: _hidden(value) if isinstance(value, str) else value for name, value in part.items()
    }


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _hidden(text: str) -> str:
    """A text without the values of secrets."""
    text = _LOGIN.sub("***@", text)
    for name in clients.CREDENTIALS:
        if len(value := os.environ.get(name, "")) > 3:
            text = text.replace(value, "***")
    return text


if __name__ == "__main__":
    main()
