"""The champion of a registered model over HTTP, in the project's environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gaiaflow.project import inherited
from gaiaflow.project.clients import client_env
from gaiaflow.project.project import Project
from gaiaflow.services.base import Service, answers, on_demand, port, project_python


def _command(project: Project) -> list[str]:
    return [
        *(project_python(project), "-m", "gaiaflow.serving.supervisor"),
        *("--port", project.env["SERVING_PORT"], "--model", project.env["SERVING_MODEL"]),
        *("--folder", str(project.state.served)),
    ]


def _env(project: Project) -> Mapping[str, str]:
    return {
        **client_env(project),
        **inherited.without_socks(os.environ),
        **{name: project.env[name] for name in ("SERVING_KEY", "SERVING_LOG_SHARE")},
        **_scenes_env(project),
        "PYTHONPATH": str(project.root),
    }


def _scenes_env(project: Project) -> Mapping[str, str]:
    """The way to Airflow, if it maps scenes."""
    if not project.env.get("SERVING_SCENES_DAG"):
        return {}
    names = ("SERVING_SCENES_DAG", "SERVING_SCENES_FROM", "AIRFLOW_USER", "AIRFLOW_PASSWORD")
    values = {name: project.env.get(name, "") for name in names}
    return {**values, "AIRFLOW_URL": project.url("AIRFLOW_PORT")}


def _login(project: Project) -> str:
    return f"key {project.env['SERVING_KEY']}"


SERVICES = (
    Service(
        "serving",
        _command,
        _env,
        depends_on=("mlflow",),
        uses=("object-store",),
        healthy=answers("SERVING_PORT", "/ping"),
        enabled=on_demand,
        ports=port("SERVING_PORT"),
        login=_login,
        grace=12.0,  # to answer its requests, and to store what it has logged
    ),
)
