"""What a service is, and how to ask one whether it is healthy."""

from __future__ import annotations

import http.client
import socket
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gaiaflow import environments
from gaiaflow.settings import Project
from gaiaflow.stamps import Stamp


def _nothing(project: Project) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Service:
    """One process or container of the stack, or one step that others wait for.

    A service is up when `healthy` says so. It gets the time (seconds since the epoch) at which
    the service was started: what it answers from an earlier life does not count. A step is done
    when its command ends with 0, and is left out while its stamp is fresh.

    How it starts as a container, and what it needs then, stands in docker-compose.yml, under the
    same name.
    """

    name: str
    # How it starts as a process; None: there is only a container.
    command: Callable[[Project], list[str]] | None = None
    env: Callable[[Project], Mapping[str, str]] = _nothing
    needs: tuple[str, ...] = ()
    # What it needs too, to be of use, but need not wait for: all of it starts at the same time.
    uses: tuple[str, ...] = ()
    healthy: Callable[[Project, float], bool] | None = None
    # The same for a container, where it is asked in another way.
    healthy_in_container: Callable[[Project, float], bool] | None = None
    once: bool = False
    stamp: Callable[[Project], Stamp] | None = None
    # Whether this project needs the service at all; None: always.
    wanted: Callable[[Project], bool] | None = None
    # All ports on which it listens, the one for people first.
    ports: Callable[[Project], list[int]] | None = None
    # Sockets that it makes outside of the project, named by its ports.
    sockets: Callable[[Project], list[Path]] | None = None
    page: str = "/"
    login: Callable[[Project], str] | None = None

    def url(self, project: Project) -> str:
        """Where it can be reached, or nothing."""
        return f"http://127.0.0.1:{self.ports(project)[0]}{self.page}" if self.ports else ""


def port(name: str) -> Callable[[Project], list[int]]:
    """The ports of a service that listens on one, which `.env` has under this name."""
    return lambda project: [project.port(name)]


def answers(port_name: str, path: str) -> Callable[[Project, float], bool]:
    """A check: the server answers this path with success."""
    return lambda project, _: ask(project.url(port_name) + path) is not None


def ask(url: str) -> bytes | None:
    """What a server of ours says, if it says it with success."""
    try:
        with _opener.open(url, timeout=3) as answer:
            return bytes(answer.read())
    except (OSError, http.client.HTTPException):
        return None


def listens(number: int) -> bool:
    """Whether anybody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", number)) == 0


def data(project: Project) -> Path:
    """Where the databases and objects of the local services are kept."""
    folder = project.state / "data"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def project_python(project: Project) -> str:
    """The interpreter of the project's environment."""
    return str(environments.project_python(project.root, project.environment_manager))


def airflow_python(project: Project) -> Path:
    """The interpreter of Airflow's environment."""
    return environments.airflow_python(project.root)


# No proxy between us and ourselves.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
