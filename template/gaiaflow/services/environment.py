"""The step that updates the project's environment before services start in it."""

from __future__ import annotations

from gaiaflow.project.project import Project
from gaiaflow.project.stamps import Stamp
from gaiaflow.services.base import Service, airflow_python


def _command(project: Project) -> list[str]:
    return [str(airflow_python(project)), "-m", "gaiaflow.project.environments"]


def _stamp(project: Project) -> Stamp:
    return project.environment.stamp


SERVICES = (Service("environment", _command, oneshot=True, stamp=_stamp),)
