"""MLflow's tracking server and model registry, in the project's environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gaiaflow.project import inherited
from gaiaflow.project.clients import client_env
from gaiaflow.project.project import Project
from gaiaflow.services.base import Service, answers, data, port, project_python


def _command(project: Project) -> list[str]:
    database = data(project) / "mlflow.db"
    return [
        *(
            project_python(project),
            "-m",
            "gaiaflow.entrypoints.quick",
            "gaiaflow.entrypoints.mlflow_server",
        ),
        *("--port", project.env["MLFLOW_PORT"]),
        # Relative because the project's path may contain characters that are special in URLs.
        *("--backend-store-uri", f"sqlite:///{database.relative_to(project.root)}"),
        *("--artifacts-destination", f"s3://{project.env['S3_BUCKET']}/mlflow"),
    ]


def _env(project: Project) -> Mapping[str, str]:
    return {
        **client_env(project),
        **inherited.without_socks(os.environ),
        "MLFLOW_S3_ENDPOINT_URL": project.url("OBJECT_STORE_PORT"),
        # The job runner would add eight processes and 1.3 GiB for features that we don't use.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # The names that processes, containers of Docker Desktop, and pods use.
        "MLFLOW_SERVER_ALLOWED_HOSTS": "localhost:*,127.0.0.1:*,host.docker.internal:*,mlflow:*",
    }


def login(project: Project) -> str:
    env = project.env
    return f"user {env['MLFLOW_TRACKING_USERNAME']}, password {env['MLFLOW_TRACKING_PASSWORD']}"


SERVICES = (
    Service(
        "mlflow",
        _command,
        _env,
        depends_on=("environment",),
        uses=("object-store",),
        healthy=answers("MLFLOW_PORT", "/health"),
        ports=port("MLFLOW_PORT"),
        login=login,
    ),
)
