"""The services of a project, as data: what each needs, how it starts, when it is healthy.

One module for each program. A new service is one entry in one of them, and its module here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from gaiaflow.services import airflow, environment, jupyterlab, mlflow, object_store, postgres
from gaiaflow.services.base import Service
from gaiaflow.settings import Project

__all__ = ["SERVICES", "Service", "ports", "select"]

# In the order in which they start: first what others wait for, then what takes longest.
SERVICES: tuple[Service, ...] = (
    *postgres.SERVICES,
    *environment.SERVICES,
    *airflow.SERVICES,
    *mlflow.SERVICES,
    *object_store.SERVICES,
    *jupyterlab.SERVICES,
)


def select(wanted: Iterable[str], known_services: Iterable[Service]) -> list[Service]:
    """Services by name; "airflow" stands for all of its components, no name for all services.

    Raises:
        LookupError: there is no such service; the message has the nearest names.
    """
    wanted = list(wanted)
    services = [service for service in known_services if not service.once]
    known = ["airflow", *(service.name for service in services)]
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise LookupError(f"There is no service {name!r}.{hint}\nServices: {', '.join(known)}")
    if not wanted:
        return services
    everything = "airflow" in wanted
    return [
        service
        for service in services
        if service.name in wanted or (everything and service in airflow.SERVICES)
    ]


def ports(project: Project, chosen: Iterable[Service]) -> list[int]:
    """All ports on which these services listen as processes."""
    return [number for service in chosen if service.ports for number in service.ports(project)]
