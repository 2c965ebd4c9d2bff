"""The services of the project's team: each Python file in `services/` is one, as `new` makes them.

A service is a program in the project's environment that listens on HOST and PORT.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from pathlib import Path

from gaiaflow.project import envfile, inherited
from gaiaflow.project.clients import client_env
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.paths import StateFolder
from gaiaflow.project.project import Project
from gaiaflow.project.settings import OWN_PORTS
from gaiaflow.services.base import Service, is_there, project_python

FOLDER = "services"
_PORT_IN_CONTAINER = 8000
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def services(root: Path, others: Container[str]) -> tuple[Service, ...]:
    """The services in a project's folder `services`, in the order of their names.

    Files that `check` refuses are not among them: they don't keep the others from being stopped.

    Args:
        others: names that are taken.
    """
    numbers = _numbers(root, others)
    return tuple(_service(name, numbers[name]) for name in sorted(numbers))


def keep_ports(root: Path, others: Container[str]) -> None:
    """Remember the present port of each service: one that is new must not move the others."""
    path = StateFolder(root).own_ports
    numbers = _numbers(root, others)
    if numbers != _read(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        envfile.write(path, json.dumps(numbers))


def check(root: Path, others: Container[str]) -> None:
    """Check the files in a project's folder `services`.

    Raises:
        GaiaflowError: there are too many, or a file's name can't be that of a service.
    """
    names = _names(root)
    for name in names:
        if problem := name_problem(name, others):
            raise GaiaflowError(f"{FOLDER}/{name}.py: {problem}. Rename the file.")
    if len(names) > OWN_PORTS:
        raise GaiaflowError(
            f"{FOLDER}/ has {len(names)} services; a project can have at most {OWN_PORTS}.\n"
            "Files whose names begin with an underscore don't count."
        )


def name_problem(name: str, others: Container[str]) -> str:
    """What is wrong with the name of a service; empty if nothing is."""
    if name in others:
        return f"{name} is the name of another service"
    if not _NAME.fullmatch(name):
        return "a service's name consists of lower-case letters, digits and underscores"
    if name in sys.stdlib_module_names:  # Python finds the modules beside a program first
        return f"{name} would hide a module of Python's standard library"
    return ""


def compose_file(project: Project, services: Iterable[Service]) -> Path | None:
    """Write the part of a Compose file that has these services; None if there are none."""
    path = StateFolder(project.root).own_compose_file
    made = {each.name: _container(project, each) for each in services}
    if not made:
        return None
    text = json.dumps({"services": made}, indent=1)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path


def _names(root: Path) -> list[str]:
    return sorted(file.stem for file in (root / FOLDER).glob("[!_.]*.py"))


def _numbers(root: Path, others: Container[str]) -> dict[str, int]:
    """The number of each service's port: the one that it had, or else the first that is free."""
    names = [name for name in _names(root) if not name_problem(name, others)][:OWN_PORTS]
    before = _read(StateFolder(root).own_ports)
    kept = {number: name for name, number in before.items() if name in names}
    free = (number for number in range(OWN_PORTS) if number not in kept)
    numbers = {name: number for number, name in kept.items()}
    return {name: numbers[name] if name in numbers else next(free) for name in names}


def _read(path: Path) -> dict[str, int]:
    """The numbers that were remembered, but none that can't be."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: number for name, number in found.items() if number in range(OWN_PORTS)}
    except (OSError, ValueError, AttributeError):
        return {}


def _service(name: str, number: int) -> Service:
    ports = _ports(number)
    return Service(
        name,
        lambda project: [project_python(project), str(project.root / FOLDER / f"{name}.py")],
        partial(_env, ports=ports),
        depends_on=("environment",),
        uses=("mlflow", "object-store"),
        healthy=lambda project, _: is_there(f"http://127.0.0.1:{ports(project.env)[0]}/"),
        ports=ports,
        grace=8.0,  # as in a container
    )


def _ports(number: int) -> Callable[[Mapping[str, str]], list[int]]:
    return lambda env: [int(env["SERVICES_PORT"]) + number]


def _env(project: Project, ports: Callable[[Mapping[str, str]], list[int]]) -> Mapping[str, str]:
    return {
        **client_env(project),
        **inherited.without_socks(os.environ),
        "HOST": "127.0.0.1",
        "PORT": str(ports(project.env)[0]),
        "PYTHONPATH": os.pathsep.join(map(str, (project.root, project.root / "src"))),
        "PYTHONUNBUFFERED": "1",
    }


def _container(project: Project, service: Service) -> dict[str, object]:
    assert service.ports  # each of them has one
    [port] = service.ports(project.env)
    base = {"file": str(project.root / "docker-compose.yml"), "service": "own"}
    return {
        "extends": base,
        "command": ["python", f"{FOLDER}/{service.name}.py"],
        "ports": [f"127.0.0.1:{port}:{_PORT_IN_CONTAINER}"],
        "depends_on": {
            "environment": {"condition": "service_completed_successfully"},
            "mlflow": {"condition": "service_started"},
        },
    }
