"""Environment variables with which boto3, GDAL and MLflow find this project's servers.

docker-compose.yml repeats them for its services. Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gaiaflow.project import inherited, variables
from gaiaflow.project.project import Project, find_root, load

# The addresses of the two services on the compose stack's task network and in Minikube.
ADDRESSES = {
    "AWS_ENDPOINT_URL": "http://object-store:8333",
    "MLFLOW_TRACKING_URI": "http://mlflow:5000",
}

CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
)
CREDENTIALS_SECRET = "gaiaflow"  # the Kubernetes secret that holds them

# Settings for all MLflow clients, wherever the server is.
MLFLOW_CLIENT = {
    # Send artifacts through the MLflow server: clients may not reach its object store.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # It would run uv for each logged model; models name their requirements themselves.
    "MLFLOW_UV_AUTO_DETECT": "false",
}

# Other variables, without secrets, that containers and pods get from Airflow's environment.
_PASSED_ON = (
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "MLFLOW_EXPERIMENT_NAME",
    "S3_BUCKET",
    "MAPS_URL",
    *MLFLOW_CLIENT,
    *ADDRESSES,
)


def client_env(project: Project) -> dict[str, str]:
    """The variables for processes on this machine, secrets included."""
    store = project.url("OBJECT_STORE_PORT")
    return {
        "AWS_ENDPOINT_URL": store,
        **gdal_env(store),
        "AWS_DEFAULT_REGION": project.env["AWS_DEFAULT_REGION"],
        "AWS_EC2_METADATA_DISABLED": "true",
        # Not ~/.aws/config: its defaults are for a different account.
        "AWS_CONFIG_FILE": os.devnull,
        "S3_BUCKET": project.env["S3_BUCKET"],
        "MLFLOW_TRACKING_URI": project.url("MLFLOW_PORT"),
        "MLFLOW_EXPERIMENT_NAME": project.identity.package,
        "MAPS_URL": project.url("MAPS_PORT"),  # for links: the browser opens it, not this process
        **MLFLOW_CLIENT,
        **{name: project.env[name] for name in CREDENTIALS},
        **no_proxy(),
    }


def task_env(here: Mapping[str, str], *, in_stack: bool) -> dict[str, str]:
    """The variables for a container or a pod, without secrets.

    Args:
        here: the environment of the Airflow worker.
        in_stack: whether the servers are those of the stack on this machine, which the task
            reaches by name; otherwise it uses the worker's addresses.
    """
    known = MLFLOW_CLIENT | {name: here[name] for name in _PASSED_ON if here.get(name)}
    if in_stack:
        known |= ADDRESSES
    return {**known, **gdal_env(known.get("AWS_ENDPOINT_URL", ""))}


def credentials(here: Mapping[str, str]) -> dict[str, str]:
    """The secrets for a container, which can't read Kubernetes secrets."""
    return {name: here[name] for name in CREDENTIALS if here.get(name)}


def gdal_env(endpoint: str) -> dict[str, str]:
    """The variables with which GDAL finds the object store: it does not read AWS_ENDPOINT_URL.

    Args:
        endpoint: the store's URL; empty for Amazon's own, GDAL's default.
    """
    url = urlsplit(endpoint)
    if not url.netloc:
        return {}
    return {
        "AWS_S3_ENDPOINT": url.netloc,
        "AWS_HTTPS": "YES" if url.scheme == "https" else "NO",
        # Put the bucket into the path, as boto3 does for all endpoints except Amazon's.
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }


def connect(root: Path | None = None) -> None:
    """Point boto3, GDAL and MLflow at this project's servers, from a notebook or a script.

    Does nothing in tasks and containers, where the variables are already set.

    Args:
        root: the project's folder; default: the one that contains this `gaiaflow`.

    Raises:
        GaiaflowError: the project was never started on this machine, or its settings are invalid.
    """
    if os.environ.get(variables.TASK) or os.environ.get(variables.CONNECTED):
        return
    env = client_env(load(root or find_root()))
    for name in inherited.left_out(os.environ, inherited.CLIENTS):
        del os.environ[name]  # set in the shell for a different account
    os.environ.update(env)


def no_proxy() -> dict[str, str]:
    """Variables that bypass a proxy for our servers."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = dict.fromkeys([*filter(None, known.split(",")), "127.0.0.1", "localhost"])
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(hosts))
