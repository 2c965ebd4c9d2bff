"""The definition of a service, and helpers for health checks."""

from __future__ import annotations

import http.client
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gaiaflow.project.project import Project
from gaiaflow.project.stamps import Stamp


def _nothing(project: Project) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Service:
    """One process or container of the stack, or one step that others wait for.

    A service is up when `healthy` returns true. Its second argument is the service's start time
    (seconds since the epoch): answers from before that don't count. A step is done when its
    command exits with 0, and is skipped while its stamp is fresh.

    docker-compose.yml defines the container and its dependencies under the same name.
    """

    name: str
    # The command for a process; None if there is only a container.
    command: Callable[[Project], list[str]] | None = None
    env: Callable[[Project], Mapping[str, str]] = _nothing
    depends_on: tuple[str, ...] = ()
    # Services that it needs to be useful, but that may start at the same time.
    uses: tuple[str, ...] = ()
    healthy: Callable[[Project, float], bool] | None = None
    # The check for a container, if it differs.
    healthy_in_container: Callable[[Project, float], bool] | None = None
    oneshot: bool = False
    # Seconds that its process gets to end; the API server would take 6. One that needs more ends
    # before the others, which it may still use.
    grace: float = 3.5
    stamp: Callable[[Project], Stamp] | None = None
    # Whether this project needs the service, or else only who names it; None means always.
    enabled: Callable[[Project], bool] | None = None
    # All ports that it uses with the settings of `.env`; the one for people comes first.
    ports: Callable[[Mapping[str, str]], list[int]] | None = None
    # Sockets that it creates outside the project, named after its ports.
    sockets: Callable[[Mapping[str, str]], list[Path]] | None = None
    page: str = "/"
    login: Callable[[Project], str] | None = None
    # The page that `open` shows, if it differs: one that needs no login, but only for a moment.
    entrance: Callable[[Project], str] | None = None

    def is_enabled(self, project: Project) -> bool:
        """Whether the project needs it."""
        return self.enabled is None or self.enabled(project)

    def url(self, project: Project) -> str:
        """The address for people; empty if it has no ports."""
        return f"{self._server(project)}{self.page}" if self.ports else ""

    def entrance_url(self, project: Project) -> str:
        """The address that `open` gives to the browser."""
        if self.entrance is None:
            return self.url(project)
        return f"{self._server(project)}{self.entrance(project)}"

    def _server(self, project: Project) -> str:
        return f"http://127.0.0.1:{self.ports(project.env)[0]}" if self.ports else ""


def port(name: str) -> Callable[[Mapping[str, str]], list[int]]:
    """The ports of a service that has only one, set in `.env` under this name."""
    return lambda env: [int(env[name])]


def on_demand(project: Project) -> bool:
    """No project needs the service all the time: it starts only when somebody names it."""
    return False


def answers(port_name: str, path: str) -> Callable[[Project, float], bool]:
    """A health check: the server answers requests for this path."""
    return lambda project, _: ask(project.url(port_name) + path) is not None


def is_there(url: str) -> bool:
    """Whether a server answers at all, such as with the demand for a login."""
    try:
        with _opener.open(url, timeout=3):
            return True
    except urllib.error.HTTPError as error:
        return error.code == http.client.UNAUTHORIZED
    except (OSError, http.client.HTTPException):
        return False


def ask(url: str) -> bytes | None:
    """The body of a successful answer from one of our servers, or None."""
    try:
        with _opener.open(url, timeout=3) as answer:
            return bytes(answer.read())
    except (OSError, http.client.HTTPException):
        return None


def listens(number: int) -> bool:
    """Whether a process listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", number)) == 0


def data(project: Project) -> Path:
    """The folder for the databases and objects of the local services."""
    folder = project.state.data
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def project_python(project: Project) -> str:
    """The interpreter of the project's environment."""
    return str(project.environment.python)


def airflow_python(project: Project) -> Path:
    """The interpreter of Airflow's environment."""
    return project.state.airflow_python


# Never use a proxy for our own servers.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
