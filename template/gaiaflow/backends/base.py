"""What both backends share: how they tell what happens, and that one command acts at a time."""

from __future__ import annotations

import abc
import contextlib
import fcntl
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from gaiaflow import ports, settings
from gaiaflow.services import Service
from gaiaflow.settings import Project

START_LIMIT = 180.0  # seconds; a first start on a slow disk takes a minute
PATIENCE = 20.0  # seconds that a running service gets to answer before it is started anew
POLL = 0.25

# Called with a name (mostly a service's), what is under way or how it ended (the states that
# console.py knows), and a word more.
Report = Callable[[str, str, str], None]


@dataclass(frozen=True)
class State:
    """What is known of a service now. `state`: healthy, starting, stopped or failed."""

    service: str
    state: str
    url: str
    pid: int | None
    login: str
    container: str | None = None

    def as_json(self) -> dict[str, str | int | None]:
        """The same without what only a person at this screen should read."""
        return {name: value for name, value in asdict(self).items() if name != "login"}


class Backend(abc.ABC):
    """Runs the services of one project."""

    name: str

    def __init__(self, project: Project, report: Report) -> None:
        self.project = project
        self.report = report

    @property
    @abc.abstractmethod
    def services(self) -> tuple[Service, ...]:
        """All services and steps that this backend knows, in the order in which they start."""

    @abc.abstractmethod
    def needs(self, service: Service) -> Iterable[str]:
        """What must be up or done before this service starts."""

    @abc.abstractmethod
    def status(self, chosen: Sequence[Service]) -> list[State]:
        """Ask all chosen services, at the same time, how they are.

        One that this project has no use for is not listed while it does not run.
        """

    @abc.abstractmethod
    def start(self, chosen: Sequence[Service]) -> dict[str, str]:
        """Start services and all they need; those that are healthy stay as they are.

        Returns the services that did not become healthy, with the end of their logs. Whatever
        ends the call early (Ctrl-C) stops the services.
        """

    @abc.abstractmethod
    def stop(self, chosen: Sequence[Service]) -> list[str]:
        """Stop services, whatever state they are in. Returns the names of those that ran.

        Raises:
            GaiaflowError: something could not be ended.
        """

    @abc.abstractmethod
    def log(self, chosen: Sequence[Service], lines: int, follow: bool) -> Iterator[str]:
        """The last lines of services' logs, and then, to follow them, what is added, without end.

        Raises:
            GaiaflowError: there is no log yet.
        """

    @abc.abstractmethod
    def update_environment(self) -> None:
        """Bring the environment of a running stack up to the project's dependencies.

        Raises:
            GaiaflowError: the environment manager failed.
        """

    @abc.abstractmethod
    def clean(self, data: bool) -> Iterator[str]:
        """Stop everything and remove what services wrote; with `data` also what they keep.

        Yields what was removed.
        """

    def with_needs(self, chosen: Sequence[Service]) -> list[Service]:
        """These services and what they need, in the order in which they start."""
        by_name = {service.name: service for service in self.services}
        names: set[str] = set()
        queue = [service.name for service in chosen]
        while queue:
            name = queue.pop()
            if name in by_name and name not in names:
                names.add(name)
                queue += [*self.needs(by_name[name]), *by_name[name].uses]
        return [service for service in self.services if service.name in names]

    def move_ports(self, port: int, claims: ports.Claims) -> None:
        """Take other ports, because somebody sits on this one of ours."""
        why = f"port {port} is taken by {ports.holder(port)}"
        self.project = ports.move(self.project, claims)
        moved = ", ".join(f"{name}={self.project.env[name]}" for name in settings.PORTS)
        self.report("ports", "moved", f"{why}; .env now has {moved}")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One command at a time may start or stop the services of a project."""
        path = self.project.state / "run" / "lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:  # the system unlocks it, however the process ends
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.report("lock", "waiting", "another command is starting or stopping services")
                fcntl.flock(file, fcntl.LOCK_EX)
                self.report("lock", "done", "")
            yield


@contextlib.contextmanager
def no_interrupts() -> Iterator[None]:
    """Let nobody interrupt the stopping of processes; it takes a few seconds."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {name: signal.signal(name, signal.SIG_IGN) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
