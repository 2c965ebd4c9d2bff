"""What both backends share: their interface, progress reports, and a lock between commands."""

from __future__ import annotations

import abc
import contextlib
import fcntl
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from gaiaflow.backends import ports
from gaiaflow.project import settings
from gaiaflow.project.paths import StateFolder
from gaiaflow.project.project import Project
from gaiaflow.services import Service

START_LIMIT = 180.0  # seconds; a first start on a slow disk takes a minute
PATIENCE = 20.0  # seconds for a running service to answer before it is restarted
POLL = 0.25

# Called with a name (usually a service's), a state that console.py knows, and details.
Notify = Callable[[str, str, str], None]


@dataclass(frozen=True)
class ServiceStatus:
    """The current status of a service. `state`: healthy, starting, stopped or failed."""

    service: str
    state: str
    url: str
    pid: int | None
    login: str
    container: str | None = None

    def as_json(self) -> dict[str, str | int | None]:
        """Values for JSON output, without the login."""
        return {name: value for name, value in asdict(self).items() if name != "login"}


class Backend(abc.ABC):
    """Runs the services of one project."""

    name: str

    def __init__(self, project: Project, notify: Notify) -> None:
        self.project = project
        self.notify = notify

    @property
    @abc.abstractmethod
    def services(self) -> tuple[Service, ...]:
        """All services and steps of this backend, in the order in which they start."""

    @abc.abstractmethod
    def depends_on(self, service: Service) -> Iterable[str]:
        """The services and steps that must be running or done before this one starts."""

    @abc.abstractmethod
    def status(self, chosen: Sequence[Service]) -> list[ServiceStatus]:
        """Ask all chosen services for their status, in parallel.

        The list omits stopped services that this project doesn't use.
        """

    @abc.abstractmethod
    def start(self, chosen: Sequence[Service]) -> dict[str, str]:
        """Start services and everything they need; leave healthy ones running.

        Return the services that did not become healthy, with the end of their logs. An
        interruption (Ctrl-C) stops all services.
        """

    @abc.abstractmethod
    def stop(self, chosen: Sequence[Service]) -> list[str]:
        """Stop services, whatever their state. Return the names of those that were running.

        Raises:
            GaiaflowError: something could not be ended.
        """

    @abc.abstractmethod
    def log(self, chosen: Sequence[Service], lines: int, follow: bool) -> Iterator[str]:
        """Yield the last lines of services' logs and, to follow them, new lines without end.

        Raises:
            GaiaflowError: there is no log yet.
        """

    @abc.abstractmethod
    def update_environment(self) -> None:
        """Update the environment of a running stack to match the project's dependencies.

        Raises:
            GaiaflowError: the environment manager failed.
        """

    @abc.abstractmethod
    def clean(self, data: bool) -> Iterator[str]:
        """Stop everything and remove what services wrote; with `data`, also their data.

        Yield what was removed.
        """

    def with_dependencies(self, chosen: Sequence[Service]) -> list[Service]:
        """These services and everything they need, in the order in which they start."""
        by_name = {service.name: service for service in self.services}
        names: set[str] = set()
        queue = [service.name for service in chosen]
        while queue:
            name = queue.pop()
            if name in by_name and name not in names:
                names.add(name)
                queue += [*self.depends_on(by_name[name]), *by_name[name].uses]
        return [service for service in self.services if service.name in names]

    def move_ports(self, port: int, claims: ports.Claims) -> None:
        """Move the project to other ports because this one is taken."""
        why = f"port {port} is taken by {ports.holder(port)}"
        self.project = ports.move(self.project, claims)
        moved = ", ".join(f"{name}={self.project.env[name]}" for name in settings.PORTS)
        self.notify("ports", "moved", f"{why}; .env now has {moved}")

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Let only one command at a time start or stop the project's services."""
        return services_lock(self.project.state, self.notify)


@contextlib.contextmanager
def services_lock(state: StateFolder, notify: Notify) -> Iterator[None]:
    """Let only one command at a time start or stop a project's services."""
    path = state.services_lock
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:  # the system unlocks it, however the process ends
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            notify("lock", "waiting", "for another command to finish")
            fcntl.flock(file, fcntl.LOCK_EX)
            notify("lock", "done", "")
        yield


@contextlib.contextmanager
def no_interrupts() -> Iterator[None]:
    """Ignore interruptions while processes are being stopped, which takes a few seconds."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {name: signal.signal(name, signal.SIG_IGN) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
