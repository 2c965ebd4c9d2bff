"""The local backend: each service is a process on this machine, and needs no Docker."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from gaiaflow import services
from gaiaflow.backends import ports, processes
from gaiaflow.backends.base import (
    PATIENCE,
    POLL,
    START_LIMIT,
    Backend,
    Notify,
    ServiceStatus,
    no_interrupts,
    services_lock,
)
from gaiaflow.backends.families import Families
from gaiaflow.project import environments
from gaiaflow.project.errors import GaiaflowError, explain, explain_output
from gaiaflow.project.paths import StateFolder
from gaiaflow.services import Service, own


def all_services(root: Path) -> tuple[Service, ...]:
    """All services that run as processes, the project's own last."""
    return tuple(service for service in services.all_services(root) if service.command)


def stop(root: Path, chosen: Sequence[Service], notify: Notify) -> list[str]:
    """Stop services that run as processes, without reading the project's settings.

    Return the names of those that were running.

    Raises:
        GaiaflowError: something could not be ended.
    """
    with services_lock(StateFolder(root), notify), no_interrupts():
        return Families(root).stop(_graces(root, chosen), notify)


def _graces(root: Path, chosen: Sequence[Service]) -> dict[str, float]:
    """How long these services get to end; if they are all, also those whose definition is gone."""
    graces = {service.name: service.grace for service in chosen}
    known = {service.name for service in all_services(root) if not service.oneshot}
    return graces | _gone(root) if known <= graces.keys() else graces


def _gone(root: Path) -> dict[str, float]:
    """Services that were started, and whose definition is gone."""
    known = {service.name for service in all_services(root)}
    known |= {file.stem for file in (root / own.FOLDER).glob("*.py")}
    return dict.fromkeys(Families(root).recorded() - known, Service.grace)


class LocalBackend(Backend):
    """Runs one project's services as processes on 127.0.0.1."""

    name = "local"

    @cached_property
    def _families(self) -> Families:
        return Families(self.project.root)

    @property
    def services(self) -> tuple[Service, ...]:
        return all_services(self.project.root)

    def depends_on(self, service: Service) -> Iterable[str]:
        return service.depends_on

    # --- status ------------------------------------------------------------------------------

    def status(self, chosen: Sequence[Service]) -> list[ServiceStatus]:
        with ThreadPoolExecutor(max_workers=len(chosen) or 1) as pool:
            states = pool.map(self._state, chosen)
        return [
            state
            for service, state in zip(chosen, states, strict=True)
            if state.state != "stopped" or service.is_enabled(self.project)
        ]

    def _state(self, service: Service) -> ServiceStatus:
        leader = self._families.leader(service.name)
        process = leader.process if leader else None
        if leader is None:
            state = "stopped"
        elif process is None:
            state = "failed"
        elif service.healthy and service.healthy(self.project, leader.create_time):
            state = "healthy"
        else:
            young = time.time() - leader.create_time < START_LIMIT
            state = (
                "starting"
                if young and not self._families.healthy_mark(service.name).exists()
                else "failed"
            )
        return ServiceStatus(
            service.name,
            state,
            service.url(self.project),
            leader.pid if leader and process else None,
            service.login(self.project) if service.login else "",
        )

    # --- start -------------------------------------------------------------------------------

    def start(self, chosen: Sequence[Service]) -> dict[str, str]:
        environments.check_path(self.project.root)
        with self.lock():
            chosen = self.with_dependencies(chosen)
            try:
                due = self._due(chosen)
                with ports.Claims() as claims:
                    return self._bring_up_all(self._settle_ports(due, claims))
            except KeyboardInterrupt:
                with no_interrupts():
                    self.notify("start", "stopping", "all services (interrupted)")
                    self._stop(self.services)
                    self.notify("start", "stopped", "")
                raise

    def _due(self, chosen: Sequence[Service]) -> list[Service]:
        running = [service for service in chosen if not service.oneshot]
        healthy = self._healthy_after_patience(running)
        due = []
        for service in chosen:
            done = service.stamp and service.stamp(self.project).is_fresh()
            if done or service.name in healthy:
                self.notify(service.name, "done" if service.oneshot else "healthy", "already")
            else:
                due.append(service)
        return due

    def _healthy_after_patience(self, running: Sequence[Service]) -> set[str]:
        """The names of healthy services. Running ones get time to answer on a busy machine."""
        deadline = time.monotonic() + PATIENCE
        while True:
            states = self.status(running)
            slow = [state.service for state in states if state.pid and state.state != "healthy"]
            if not slow or time.monotonic() > deadline:
                return {state.service for state in states if state.state == "healthy"}
            for name in slow:
                self.notify(name, "waiting", "for an answer")
            time.sleep(POLL)

    def _settle_ports(self, due: list[Service], claims: ports.Claims) -> list[Service]:
        """Move the project to free ports if one of its ports is taken."""
        self._stop(due)  # in case a crash has left processes
        team = {service.name for service in services.own_services(self.project.root)}
        if any(service.name in team for service in due):
            self._families.stop(_gone(self.project.root), self.notify)  # one may have the port
        running = [s for s in self.services if not s.oneshot and self._families.leader(s.name)]
        # The first look is at all ports: a move later would stop what runs.
        looked_at = due if running else self.services
        port = ports.taken(services.ports(self.project.env, looked_at), claims)
        if port is None:
            return due
        self._stop(running)
        self.move_ports(port, claims)
        return [s for s in self.services if s in due or s in running]

    def _bring_up_all(self, due: Sequence[Service]) -> dict[str, str]:
        finished = {service.name: threading.Event() for service in due}
        failures: dict[str, str] = {}
        cancelled = threading.Event()
        # The first in the list take longest. If all started at once on two cores, these would
        # compete with all others and finish last.
        slots = threading.Semaphore((os.cpu_count() or 2) + 1)

        def bring_up(service: Service) -> None:
            try:
                for need in service.depends_on:
                    if need in finished:
                        while not finished[need].wait(0.2):
                            if cancelled.is_set():
                                return
                    if need in failures:
                        raise GaiaflowError(f"it needs {need}, which failed")
                with slots:
                    if not cancelled.is_set():
                        self._bring_up(service, cancelled)
            except (GaiaflowError, OSError) as error:
                reason = explain(error) if isinstance(error, OSError) else str(error)
                failures[service.name] = reason
                self.notify(service.name, "failed", reason.splitlines()[0])
            finally:
                finished[service.name].set()

        threads = [threading.Thread(target=bring_up, args=(service,)) for service in due]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():  # in steps, to let Ctrl-C through
                    thread.join(0.2)
        except BaseException:
            cancelled.set()
            with no_interrupts():
                for thread in threads:
                    if thread.ident:
                        thread.join()
            raise
        return failures

    def _bring_up(self, service: Service, cancelled: threading.Event) -> None:
        log = self._log(service.name)
        before = log.stat().st_size if log.exists() else 0
        self.notify(service.name, "starting", "")
        started = time.time()
        assert service.command  # all of self.services have one
        process = processes.spawn(
            service.command(self.project),
            service.env(self.project),
            self.project.root,
            service.name,
            log,
        )
        if not service.oneshot:
            sockets = service.sockets(self.project.env) if service.sockets else ()
            processes.remember(
                self._families.record(service.name), process, self.project.root, sockets
            )
        while not cancelled.is_set():
            code = process.poll()
            if service.oneshot and code == 0:
                if service.stamp:
                    service.stamp(self.project).write()
                break
            if code is not None:
                output = explain_output(tail(log, before))
                raise GaiaflowError(f"it ended with exit code {code}\n{output}")
            if service.healthy and service.healthy(self.project, started):
                self._families.healthy_mark(service.name).touch()
                break
            if time.time() - started > START_LIMIT and not service.oneshot:
                raise GaiaflowError(
                    f"it did not answer within {START_LIMIT:.0f} s\n{tail(log, before)}"
                )
            if service.oneshot:
                self.notify(service.name, "starting", tail(log, before, lines=1))
            cancelled.wait(POLL)
        else:
            return
        self.notify(service.name, "done" if service.oneshot else "healthy", "")

    # --- stop --------------------------------------------------------------------------------

    def stop(self, chosen: Sequence[Service]) -> list[str]:
        return stop(self.project.root, chosen, self.notify)

    def _stop(self, chosen: Sequence[Service]) -> list[str]:
        return self._families.stop(_graces(self.project.root, chosen), self.notify)

    # --- logs, environment, cleaning -----------------------------------------------------------

    def _log(self, name: str) -> Path:
        return self.project.state.logs / f"{name}.log"

    def log(self, chosen: Sequence[Service], lines: int, follow: bool) -> Iterator[str]:
        logs = [log for service in chosen if (log := self._log(service.name)).exists()]
        if not logs:
            names = ", ".join(service.name for service in chosen)
            raise GaiaflowError(
                f"{names} has written no log yet.\nStart it: python3 mlops_manager.py start"
            )
        for log in logs:
            yield from tail(log, lines=lines).splitlines()
        if follow:
            yield from follow_file(logs)

    def update_environment(self) -> None:
        self.project.environment.make()

    def clean(self, data: bool) -> Iterator[str]:
        with self.lock(), no_interrupts():
            self._stop(self.services)
            for name in ("logs", "airflow-home", *(["data"] if data else [])):
                folder = self.project.state.path / name
                if folder.exists():
                    shutil.rmtree(folder)
                    yield str(folder.relative_to(self.project.root))


def tail(log: Path, start: int = 0, lines: int = 15) -> str:
    """The last lines of a log after an offset in bytes."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        size = log.stat().st_size  # less than `start` if the log has been rotated since
        file.seek(max(start if start <= size else 0, size - 20_000))
        text = file.read().decode("utf-8", errors="replace")
    return "\n".join(text.rstrip().splitlines()[-lines:])


def follow_file(logs: Sequence[Path]) -> Iterator[str]:
    """Yield new lines of logs as they are written, without end."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(log.open(encoding="utf-8", errors="replace")) for log in logs]
        for file in files:
            file.seek(0, 2)
        while True:
            lines = [line.rstrip("\n") for file in files for line in file.readlines()]
            yield from lines
            if not lines:
                time.sleep(POLL)
