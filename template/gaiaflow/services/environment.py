"""The step that brings the project's environment up to date before a service starts in it."""

from __future__ import annotations

from gaiaflow import environments
from gaiaflow.services.base import Service, airflow_python
from gaiaflow.settings import Project
from gaiaflow.stamps import Stamp


def _command(project: Project) -> list[str]:
    return [str(airflow_python(project)), "-m", "gaiaflow.environments"]


def _stamp(project: Project) -> Stamp:
    return environments.project_stamp(project.root, project.environment_manager)


SERVICES = (Service("environment", _command, once=True, stamp=_stamp),)
