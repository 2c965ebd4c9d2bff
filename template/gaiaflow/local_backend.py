"""The local backend: every service is a process of this machine, and nothing else is needed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from gaiaflow import ports, processes, services, settings
from gaiaflow.errors import GaiaflowError, explain, explain_output
from gaiaflow.services import Service
from gaiaflow.settings import Project

_START_LIMIT = 180.0  # seconds; a first start on a slow disk takes a minute
_PATIENCE = 20.0  # seconds that a running service gets to answer before it is started anew
_GRACE = 3.5  # seconds that a service gets to end by itself; the API server would take 6
_POLL = 0.25

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

    def as_json(self) -> dict[str, str | int | None]:
        """The same without what only a person at this screen should read."""
        return {name: value for name, value in asdict(self).items() if name != "login"}


class LocalBackend:
    """Runs the services of one project as processes on 127.0.0.1."""

    def __init__(self, project: Project, report: Report) -> None:
        self.project = project
        self.report = report

    def log(self, name: str) -> Path:
        """Where a service's output goes."""
        return self.project.state / "logs" / f"{name}.log"

    # --- status ------------------------------------------------------------------------------

    def status(self, chosen: Sequence[Service]) -> list[State]:
        """Ask all chosen services, at the same time, how they are.

        One that this project has no use for is not listed while it does not run.
        """
        with ThreadPoolExecutor(max_workers=len(chosen) or 1) as pool:
            states = pool.map(self._state, chosen)
        return [
            state
            for service, state in zip(chosen, states, strict=True)
            if state.state != "stopped" or not service.wanted or service.wanted(self.project)
        ]

    def _state(self, service: Service) -> State:
        leader = processes.recall(self._record(service), self.project.root)
        process = leader.process if leader else None
        if leader is None:
            state = "stopped"
        elif process is None:
            state = "failed"
        elif service.healthy and service.healthy(self.project, leader.born):
            state = "healthy"
        else:
            young = time.time() - leader.born < _START_LIMIT
            state = "starting" if young and not self._was_healthy(service) else "failed"
        return State(
            service.name,
            state,
            service.url(self.project),
            leader.pid if leader and process else None,
            service.login(self.project) if service.login else "",
        )

    # --- start -------------------------------------------------------------------------------

    def start(self, chosen: Sequence[Service]) -> dict[str, str]:
        """Start services and all they need; those that are healthy stay as they are.

        Returns the services that did not become healthy, with the end of their logs. Whatever
        ends the call early (Ctrl-C) stops the services.
        """
        with self._lock():
            chosen = self._with_needs(chosen)
            try:
                due = self._due(chosen)
                with ports.Claims() as claims:
                    return self._bring_up_all(self._settle_ports(due, claims))
            except BaseException:
                with _no_interrupts():
                    self.report("start", "stopping", "interrupted: all services are stopped")
                    self._stop(services.SERVICES)
                    self.report("start", "stopped", "")
                raise

    def _with_needs(self, chosen: Sequence[Service]) -> list[Service]:
        names = {service.name for service in chosen}
        names |= {need for service in chosen for need in service.needs}
        return [
            service
            for service in services.SERVICES
            if service.name in names and (not service.wanted or service.wanted(self.project))
        ]

    def _due(self, chosen: Sequence[Service]) -> list[Service]:
        running = [service for service in chosen if not service.once]
        healthy = self._healthy_after_patience(running)
        due = []
        for service in chosen:
            done = service.stamp and service.stamp(self.project).is_fresh()
            if done or service.name in healthy:
                self.report(service.name, "done" if service.once else "healthy", "already")
            else:
                due.append(service)
        return due

    def _healthy_after_patience(self, running: Sequence[Service]) -> set[str]:
        """The names of the healthy; what lives gets time to answer, for the machine may be busy."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            states = self.status(running)
            slow = [state.service for state in states if state.pid and state.state != "healthy"]
            if not slow or time.monotonic() > deadline:
                return {state.service for state in states if state.state == "healthy"}
            for name in slow:
                self.report(name, "waiting", "runs, but does not answer yet")
            time.sleep(_POLL)

    def _settle_ports(self, due: list[Service], claims: ports.Claims) -> list[Service]:
        """Move the project to free ports if somebody else sits on one of ours."""
        self._stop(due)  # what a crash has left of them
        names = [service.name for service in due]
        port = ports.taken(self.project, names, claims)
        if port is None:
            return due
        why = f"port {port} is taken by {ports.holder(port)}"
        running = [s for s in services.SERVICES if not s.once and self._state(s).state != "stopped"]
        self._stop(running)
        self.project = ports.move(self.project, claims)
        moved = ", ".join(f"{name}={self.project.env[name]}" for name in settings.PORTS)
        self.report("ports", "moved", f"{why}; .env now has {moved}")
        return [s for s in services.SERVICES if s in due or s in running]

    def _bring_up_all(self, due: Sequence[Service]) -> dict[str, str]:
        finished = {service.name: threading.Event() for service in due}
        failures: dict[str, str] = {}
        cancelled = threading.Event()
        # The first of the list need the longest. Started all at once on two cores, they would
        # share these with all others and be up last.
        slots = threading.Semaphore((os.cpu_count() or 2) + 1)

        def bring_up(service: Service) -> None:
            try:
                for need in service.needs:
                    if need in finished:
                        while not finished[need].wait(0.2):
                            if cancelled.is_set():
                                return
                    if need in failures:
                        raise GaiaflowError(f"{need} failed, which it needs")
                with slots:
                    if not cancelled.is_set():
                        self._bring_up(service, cancelled)
            except (GaiaflowError, OSError) as error:
                reason = explain(error) if isinstance(error, OSError) else str(error)
                failures[service.name] = reason
                self.report(service.name, "failed", reason.splitlines()[0])
            finally:
                finished[service.name].set()

        threads = [threading.Thread(target=bring_up, args=(service,)) for service in due]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():  # in steps, so that Ctrl-C gets through
                    thread.join(0.2)
        except BaseException:
            cancelled.set()
            with _no_interrupts():
                for thread in threads:
                    if thread.ident:
                        thread.join()
            raise
        return failures

    def _bring_up(self, service: Service, cancelled: threading.Event) -> None:
        log = self.log(service.name)
        before = log.stat().st_size if log.exists() else 0
        self.report(service.name, "starting", "")
        started = time.time()
        process = processes.spawn(
            service.command(self.project),
            service.env(self.project),
            self.project.root,
            service.name,
            log,
        )
        if not service.once:
            processes.remember(self._record(service), process, self.project.root)
        while not cancelled.is_set():
            code = process.poll()
            if service.once and code == 0:
                if service.stamp:
                    service.stamp(self.project).write()
                break
            if code is not None:
                output = explain_output(tail(log, before))
                raise GaiaflowError(f"it ended with exit code {code}\n{output}")
            if service.healthy and service.healthy(self.project, started):
                self._healthy_mark(service).touch()
                break
            if time.time() - started > _START_LIMIT and not service.once:
                raise GaiaflowError(
                    f"it did not answer within {_START_LIMIT:.0f} s\n{tail(log, before)}"
                )
            if service.once:
                self.report(service.name, "starting", tail(log, before, lines=1))
            cancelled.wait(_POLL)
        else:
            return
        self.report(service.name, "done" if service.once else "healthy", "")

    # --- stop --------------------------------------------------------------------------------

    def stop(self, chosen: Sequence[Service]) -> list[str]:
        """Stop services with all their processes, whatever state they are in.

        Returns the names of those that were running.

        Raises:
            GaiaflowError: a process could not be ended.
        """
        with self._lock(), _no_interrupts():
            return self._stop(chosen)

    def _stop(self, chosen: Sequence[Service]) -> list[str]:
        leaders = {
            service.name: processes.recall(self._record(service), self.project.root)
            for service in chosen
        }
        stopped = []
        rest: list[psutil.Process] = []
        for attempt in range(3):  # again, for what was born while we looked
            found = processes.families(self.project.root, leaders)
            running = {name: members for name, members in found.items() if members}
            if not running:
                break
            for name in running:
                if attempt == 0:
                    stopped.append(name)
                    self.report(name, "stopping", "")
            # The leaders first: they know best in which order their family should end.
            heads = [members[0] for members in running.values()]
            processes.terminate(heads, _GRACE if attempt == 0 else 0.2)
            found = processes.families(self.project.root, leaders)
            rest = [process for members in found.values() for process in members]
            rest = processes.terminate(rest, 0.5)
        if rest:
            pids = ", ".join(str(process.pid) for process in rest)
            raise GaiaflowError(f"Some processes could not be ended. See: ps -fp {pids}")
        for service in chosen:
            self._record(service).unlink(missing_ok=True)
            self._healthy_mark(service).unlink(missing_ok=True)
            if service.name in stopped:
                self.report(service.name, "stopped", "")
        return stopped

    # --- what is remembered ------------------------------------------------------------------

    def _record(self, service: Service) -> Path:
        return self.project.state / "run" / f"{service.name}.json"

    def _healthy_mark(self, service: Service) -> Path:
        return self._record(service).with_suffix(".healthy")

    def _was_healthy(self, service: Service) -> bool:
        return self._healthy_mark(service).exists()

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
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
def _no_interrupts() -> Iterator[None]:
    """Let nobody interrupt the stopping of processes; it takes a few seconds."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {name: signal.signal(name, signal.SIG_IGN) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def tail(log: Path, start: int = 0, lines: int = 15) -> str:
    """The last lines of a log, from an offset (bytes) on."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        size = log.stat().st_size  # less than `start`, if the log was set aside since
        file.seek(max(start if start <= size else 0, size - 20_000))
        text = file.read().decode("utf-8", errors="replace")
    return "\n".join(text.rstrip().splitlines()[-lines:])


def follow_file(logs: Sequence[Path]) -> Iterator[str]:
    """Yield lines as they are added to logs, without end."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(log.open(encoding="utf-8", errors="replace")) for log in logs]
        for file in files:
            file.seek(0, 2)
        while True:
            lines = [line.rstrip("\n") for file in files for line in file.readlines()]
            yield from lines
            if not lines:
                time.sleep(_POLL)
