"""How clients find MLflow and the object store: what containers and pods are told, and GDAL.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

# The names of the two services on the task network of the compose stack and in Minikube.
ADDRESSES = {
    "AWS_ENDPOINT_URL": "http://object-store:8333",
    "MLFLOW_TRACKING_URI": "http://mlflow:5000",
}

MLFLOW_CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", *MLFLOW_CREDENTIALS)
CREDENTIALS_SECRET = "gaiaflow"  # the Kubernetes secret that holds them

# How every client of MLflow behaves, wherever its server is.
MLFLOW_CLIENT = {
    # Artifacts go through the MLflow server: a client need not reach its object store.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # It would run uv at each logged model; a model names its requirements itself.
    "MLFLOW_UV_AUTO_DETECT": "false",
}

# Everything else that clients are told and that is not a secret.
_CLIENT = (
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "MLFLOW_EXPERIMENT_NAME",
    "S3_BUCKET",
    *MLFLOW_CLIENT,
)


def client_env(here: Mapping[str, str], *, local: bool) -> dict[str, str]:
    """The environment variables, without secrets, by which boto3, GDAL and MLflow find servers.

    Args:
        here: the environment of the Airflow worker.
        local: whether the servers are those of the stack on this machine, which tasks reach by
            name; else the worker's own addresses hold for its tasks too.
    """
    known = MLFLOW_CLIENT | {name: here[name] for name in (*_CLIENT, *ADDRESSES) if here.get(name)}
    if local:
        known |= ADDRESSES
    return {**known, **gdal_env(known.get("AWS_ENDPOINT_URL", ""))}


def gdal_env(endpoint: str) -> dict[str, str]:
    """The variables by which GDAL finds the object store, as it does not read AWS_ENDPOINT_URL.

    Args:
        endpoint: the store's URL; empty for Amazon's own, where GDAL looks by itself.
    """
    url = urlsplit(endpoint)
    if not url.netloc:
        return {}
    return {
        "AWS_S3_ENDPOINT": url.netloc,
        "AWS_HTTPS": "YES" if url.scheme == "https" else "NO",
        # The bucket is part of the path, as boto3 has it for any endpoint but Amazon's.
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }


def credentials(here: Mapping[str, str]) -> dict[str, str]:
    """The object store's keys and MLflow's password, for where no Kubernetes secret holds them."""
    return {name: here[name] for name in CREDENTIALS if here.get(name)}
