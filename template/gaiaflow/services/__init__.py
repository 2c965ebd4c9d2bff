"""The services of a project, as data: what each needs, how it starts, when it is healthy.

Each program has one module. To add a service, add an entry to a module, and list new modules here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from gaiaflow.services import (
    airflow,
    environment,
    jupyterlab,
    maps,
    mlflow,
    object_store,
    own,
    postgres,
    serving,
)
from gaiaflow.services.base import Service

__all__ = [
    "RESERVED",
    "SERVICES",
    "Service",
    "all_services",
    "check_own",
    "keep_own_ports",
    "own_services",
    "ports",
    "select",
]

# In the order in which they start: first those that others wait for, then the slowest.
SERVICES: tuple[Service, ...] = (
    *postgres.SERVICES,
    *environment.SERVICES,
    *airflow.SERVICES,
    *mlflow.SERVICES,
    *object_store.SERVICES,
    *jupyterlab.SERVICES,
    *maps.SERVICES,
    *serving.SERVICES,
)
RESERVED = frozenset({"airflow", "own", "package", *(service.name for service in SERVICES)})


def own_services(root: Path) -> tuple[Service, ...]:
    """The services that a project's team has added to its folder `services`."""
    return own.services(root, RESERVED)


def all_services(root: Path) -> tuple[Service, ...]:
    """All services and steps of a project, its team's last."""
    return (*SERVICES, *own_services(root))


def check_own(root: Path) -> None:
    """Check them.

    Raises:
        GaiaflowError: there are too many, or a file's name can't be that of a service.
    """
    own.check(root, RESERVED)


def keep_own_ports(root: Path) -> None:
    """Remember their ports, which services that are added later must not change."""
    own.keep_ports(root, RESERVED)


def select(wanted: Iterable[str], known_services: Iterable[Service]) -> list[Service]:
    """Select services by name: "airflow" means all its components, no names mean all services.

    Raises:
        LookupError: there is no such service; the message suggests similar names.
    """
    wanted = list(wanted)
    services = [service for service in known_services if not service.oneshot]
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


def ports(env: Mapping[str, str], chosen: Iterable[Service]) -> list[int]:
    """All ports that these services use as processes, with these settings of `.env`."""
    return [number for service in chosen if service.ports for number in service.ports(env)]
