"""The local backend: every service is a process of this machine, and nothing else is needed."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from gaiaflow import environments, ports, processes, services
from gaiaflow.backends.base import PATIENCE, POLL, START_LIMIT, Backend, State, no_interrupts
from gaiaflow.errors import GaiaflowError, explain, explain_output
from gaiaflow.services import Service

_GRACE = 3.5  # seconds that a service gets to end by itself; the API server would take 6


class LocalBackend(Backend):
    """Runs the services of one project as processes on 127.0.0.1."""

    name = "local"

    @property
    def services(self) -> tuple[Service, ...]:
        return tuple(service for service in services.SERVICES if service.command)

    def needs(self, service: Service) -> Iterable[str]:
        return service.needs

    # --- status ------------------------------------------------------------------------------

    def status(self, chosen: Sequence[Service]) -> list[State]:
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
            young = time.time() - leader.born < START_LIMIT
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
        environments.check_path(self.project.root)
        with self.lock():
            chosen = self.with_needs(chosen)
            try:
                due = self._due(chosen)
                with ports.Claims() as claims:
                    return self._bring_up_all(self._settle_ports(due, claims))
            except KeyboardInterrupt:
                with no_interrupts():
                    self.report("start", "stopping", "interrupted: all services are stopped")
                    self._stop(self.services)
                    self.report("start", "stopped", "")
                raise

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
        deadline = time.monotonic() + PATIENCE
        while True:
            states = self.status(running)
            slow = [state.service for state in states if state.pid and state.state != "healthy"]
            if not slow or time.monotonic() > deadline:
                return {state.service for state in states if state.state == "healthy"}
            for name in slow:
                self.report(name, "waiting", "runs, but does not answer yet")
            time.sleep(POLL)

    def _settle_ports(self, due: list[Service], claims: ports.Claims) -> list[Service]:
        """Move the project to free ports if somebody else sits on one of ours."""
        self._stop(due)  # what a crash has left of them
        port = ports.taken(services.ports(self.project, due), claims)
        if port is None:
            return due
        running = [s for s in self.services if not s.once and self._state(s).state != "stopped"]
        self._stop(running)
        self.move_ports(port, claims)
        return [s for s in self.services if s in due or s in running]

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
            with no_interrupts():
                for thread in threads:
                    if thread.ident:
                        thread.join()
            raise
        return failures

    def _bring_up(self, service: Service, cancelled: threading.Event) -> None:
        log = self._log(service.name)
        before = log.stat().st_size if log.exists() else 0
        self.report(service.name, "starting", "")
        started = time.time()
        assert service.command  # else it is none of self.services
        process = processes.spawn(
            service.command(self.project),
            service.env(self.project),
            self.project.root,
            service.name,
            log,
        )
        if not service.once:
            sockets = service.sockets(self.project) if service.sockets else ()
            processes.remember(self._record(service), process, self.project.root, sockets)
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
            if time.time() - started > START_LIMIT and not service.once:
                raise GaiaflowError(
                    f"it did not answer within {START_LIMIT:.0f} s\n{tail(log, before)}"
                )
            if service.once:
                self.report(service.name, "starting", tail(log, before, lines=1))
            cancelled.wait(POLL)
        else:
            return
        self.report(service.name, "done" if service.once else "healthy", "")

    # --- stop --------------------------------------------------------------------------------

    def stop(self, chosen: Sequence[Service]) -> list[str]:
        with self.lock(), no_interrupts():
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
            if leader := leaders[service.name]:
                processes.remove_sockets(leader)
            self._record(service).unlink(missing_ok=True)
            self._healthy_mark(service).unlink(missing_ok=True)
            if service.name in stopped:
                self.report(service.name, "stopped", "")
        return stopped

    # --- logs, environment, cleaning -----------------------------------------------------------

    def _log(self, name: str) -> Path:
        return self.project.state / "logs" / f"{name}.log"

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
        environments.make_project(self.project.root, self.project.environment_manager)

    def clean(self, data: bool) -> Iterator[str]:
        with self.lock(), no_interrupts():
            self._stop(self.services)
            for name in ("logs", "airflow-home", *(["data"] if data else [])):
                folder = self.project.state / name
                if folder.exists():
                    shutil.rmtree(folder)
                    yield str(folder.relative_to(self.project.root))

    # --- what is remembered ------------------------------------------------------------------

    def _record(self, service: Service) -> Path:
        return self.project.state / "run" / f"{service.name}.json"

    def _healthy_mark(self, service: Service) -> Path:
        return self._record(service).with_suffix(".healthy")

    def _was_healthy(self, service: Service) -> bool:
        return self._healthy_mark(service).exists()


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
                time.sleep(POLL)
