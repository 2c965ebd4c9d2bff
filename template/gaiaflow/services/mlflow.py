"""MLflow's tracking server and model registry, in the project's environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gaiaflow import inherited
from gaiaflow.services.base import Service, answers, data, port, project_python
from gaiaflow.settings import Project, client_env


def _command(project: Project) -> list[str]:
    database = data(project) / "mlflow.db"
    return [
        *(project_python(project), "-m", "gaiaflow.quick", "gaiaflow.mlflow_server"),
        *("--port", project.env["MLFLOW_PORT"]),
        # Relative to the project, whose path may have characters that mean something in a URL.
        *("--backend-store-uri", f"sqlite:///{database.relative_to(project.root)}"),
        *("--artifacts-destination", f"s3://{project.env['S3_BUCKET']}/mlflow"),
    ]


def _env(project: Project) -> Mapping[str, str]:
    return {
        **client_env(project),
        **inherited.without_socks(os.environ),
        "MLFLOW_S3_ENDPOINT_URL": project.url("OBJECT_STORE_PORT"),
        # Its job runner would add eight processes and 1.3 GiB for features that we do not use.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # What processes call it, containers of Docker Desktop, and pods.
        "MLFLOW_SERVER_ALLOWED_HOSTS": "localhost:*,127.0.0.1:*,host.docker.internal:*,mlflow:*",
    }


def _login(project: Project) -> str:
    env = project.env
    return f"user {env['MLFLOW_TRACKING_USERNAME']}, password {env['MLFLOW_TRACKING_PASSWORD']}"


SERVICES = (
    Service(
        "mlflow",
        _command,
        _env,
        needs=("environment",),
        uses=("object-store",),
        healthy=answers("MLFLOW_PORT", "/health"),
        ports=port("MLFLOW_PORT"),
        login=_login,
    ),
)
