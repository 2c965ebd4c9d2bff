"""The map of the project's products, in an environment that is made when it first starts."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from gaiaflow.project import environments, inherited, maps
from gaiaflow.project.clients import client_env
from gaiaflow.project.project import Project
from gaiaflow.project.stamps import Stamp
from gaiaflow.services import mlflow
from gaiaflow.services.base import Service, airflow_python, answers, on_demand, port


def _make(project: Project) -> list[str]:
    return [str(airflow_python(project)), "-m", "gaiaflow.project.environments", "maps"]


def _stamp(project: Project) -> Stamp:
    return environments.maps_stamp(project.root)


def _command(project: Project) -> list[str]:
    python = str(project.state.maps_python)
    return [python, "-m", "gaiaflow.maps.server", "--port", project.env["MAPS_PORT"]]


def _env(project: Project) -> Mapping[str, str]:
    return {
        **client_env(project),
        **{name: value for name, value in project.env.items() if name.startswith("PC_SDK_")},
        **inherited.without_socks(os.environ),
        "PYTHONPATH": str(project.root),
    }


def _entrance(project: Project) -> str:
    """Every user can read command lines, such as the browser's: so this is soon worth nothing."""
    ticket = maps.ticket(project.env["MLFLOW_TRACKING_PASSWORD"], time.time())
    return f"{maps.ENTRANCE}?ticket={ticket}"


SERVICES = (
    Service("maps-environment", _make, oneshot=True, stamp=_stamp),
    Service(
        "maps",
        _command,
        _env,
        depends_on=("maps-environment",),
        uses=("object-store",),
        healthy=answers("MAPS_PORT", "/health"),
        enabled=on_demand,
        ports=port("MAPS_PORT"),
        login=mlflow.login,
        entrance=_entrance,
    ),
)
