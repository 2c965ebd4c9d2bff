"""The compose backend: every service is a container, as docker-compose.yml describes it."""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from gaiaflow import engine, environments, images, ports, services, settings
from gaiaflow.backends.base import PATIENCE, POLL, START_LIMIT, Backend, State, no_interrupts
from gaiaflow.errors import GaiaflowError, explain_output
from gaiaflow.services import Service
from gaiaflow.settings import Project
from gaiaflow.stamps import Stamp

_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_FOLDER = "com.docker.compose.project.working_dir"
_RESTARTS = 2  # a service that ended so often will end again

# Which services of docker-compose.yml have which image of ours.
_IMAGES = {"airflow": "airflow-init", "mlflow": "mlflow", "environment": "environment"}


class ComposeBackend(Backend):
    """Runs the services of one project as containers of its Docker Compose project."""

    name = "compose"

    @property
    def services(self) -> tuple[Service, ...]:
        return services.SERVICES

    def needs(self, service: Service) -> Iterable[str]:
        return list(self._config[service.name].get("depends_on", {}))

    @cached_property
    def _config(self) -> Any:
        """The services as docker-compose.yml describes them, with all settings filled in."""
        return json.loads(engine.run(self._compose("config", "--format", "json")))["services"]

    @cached_property
    def _engine(self) -> docker.DockerClient:
        return engine.connect()

    # --- status ------------------------------------------------------------------------------

    def status(self, chosen: Sequence[Service]) -> list[State]:
        found = self._containers()
        with ThreadPoolExecutor(max_workers=len(chosen) or 1) as pool:
            states = pool.map(lambda service: self._state(service, found), chosen)
        return [
            state
            for service, state in zip(chosen, states, strict=True)
            if state.state != "stopped" or not service.wanted or service.wanted(self.project)
        ]

    def _containers(self) -> dict[str, Container]:
        """The containers of this project by service."""
        name = self.project.env["COMPOSE_PROJECT_NAME"]
        filters: dict[str, str | list[str] | bool] = {"label": f"{_PROJECT}={name}"}
        with engine.answering():
            found = self._engine.containers.list(all=True, filters=filters, ignore_removed=True)
        own = [container for container in found if self._is_ours(container)]
        return {container.labels[_SERVICE]: container for container in own}

    def _is_ours(self, container: Container) -> bool:
        one_off = container.labels.get("com.docker.compose.oneoff") == "True"
        return not one_off and _SERVICE in container.labels

    def _state(self, service: Service, found: dict[str, Container]) -> State:
        container = found.get(service.name)
        return State(
            service.name,
            self._health(service, container) if container else "stopped",
            service.url(self.project),
            None,
            service.login(self.project) if service.login else "",
            container.name if container else None,
        )

    def _health(self, service: Service, container: Container) -> str:
        state = container.attrs["State"]
        if state["Status"] in {"created", "exited", "dead", "removing"}:
            return "failed" if state["ExitCode"] else "stopped"
        if state["Status"] != "running":  # between two lives, or paused
            return "failed"
        health = state.get("Health", {}).get("Status", "starting")  # not every image can tell
        ask = service.healthy_in_container or service.healthy
        # Docker asks every ten seconds only; we would rather know at once.
        if ask and health == "starting" and ask(self.project, _moment(state["StartedAt"])):
            return "healthy"
        return "failed" if health == "unhealthy" else str(health)

    # --- start -------------------------------------------------------------------------------

    def start(self, chosen: Sequence[Service]) -> dict[str, str]:
        with self.lock():
            engine.end_leftovers(self.project)
            self._be_no_copy()
            chosen = self.with_needs(chosen)
            try:
                due = self._due(chosen)
                if not due:
                    return {}
                with ports.Claims() as claims:
                    self._settle_ports(due, claims)
                    self._make_images()
                    return self._bring_up(chosen)
            except KeyboardInterrupt:
                with no_interrupts():
                    self.report("start", "stopping", "interrupted: all services are stopped")
                    self._down()
                    self.report("start", "stopped", "")
                raise

    def _be_no_copy(self) -> None:
        """Take a name of our own if this folder is a copy of another that uses the same one."""
        name = self.project.env["COMPOSE_PROJECT_NAME"]
        record = self.project.state / "compose-root"
        known = [record.read_text(encoding="utf-8").strip()] if record.exists() else []
        known += [container.labels.get(_FOLDER, "") for container in self._containers().values()]
        for other in {Path(folder) for folder in known if folder} - {self.project.root}:
            env = other / ".env"
            if env.exists() and f"COMPOSE_PROJECT_NAME={name}\n" in env.read_text("utf-8"):
                fresh = settings.compose_name(self.project.package)
                self.project = self.project.with_env({"COMPOSE_PROJECT_NAME": fresh})
                self.report("name", "moved", f"{other} is called {name}; this is now {fresh}")
                break
        record.write_text(f"{self.project.root}\n", encoding="utf-8")

    def _due(self, chosen: Sequence[Service]) -> list[Service]:
        running = [service for service in chosen if not service.once]
        deadline = time.monotonic() + PATIENCE
        while True:
            states = {state.service: state.state for state in self.status(running)}
            slow = [name for name, state in states.items() if state == "starting"]
            if not slow or time.monotonic() > deadline:
                break
            for name in slow:
                self.report(name, "waiting", "runs, but does not answer yet")
            time.sleep(POLL)
        for name, state in states.items():
            if state == "healthy":
                self.report(name, "healthy", "already")
        due = [service for service in running if states[service.name] != "healthy"]
        hung = [
            service.name for service in due if states.get(service.name) in ("starting", "failed")
        ]
        # One that never ran may lack networks, if whoever made it was killed.
        hung += [name for name, found in self._containers().items() if found.status == "created"]
        if hung:  # what a crash has left of them
            engine.run(self._compose("rm", "--stop", "--force", *hung))
        return due

    def _settle_ports(self, due: Sequence[Service], claims: ports.Claims) -> None:
        published = [service.ports(self.project)[0] for service in due if service.ports]
        port = ports.taken(published, claims)
        if port is not None:
            self._down()
            self.move_ports(port, claims)

    def _make_images(self) -> None:
        """Build the images whose sources have changed; get those that others publish."""
        root = self.project.root
        locks = environments.AIRFLOW_LOCK.parent
        sources = [root / "docker-compose.yml", *sorted((root / "dockerfiles").rglob("*"))]
        sources += [locks / "airflow.txt", locks / "mlflow.txt", root / ".env"]
        stamp = Stamp(
            self.project.state / "run" / "images.stamp",
            root / "docker-compose.yml",
            [source for source in sources if source.is_file()],
        )
        if stamp.is_fresh() and _are_there(self._engine, self.project):
            return
        self._follow("images", self._compose("build", *_IMAGES.values()))
        self._follow(
            "other images", self._compose("pull", "--ignore-buildable", "--policy", "missing")
        )
        stamp.write()

    def _bring_up(self, chosen: Sequence[Service]) -> dict[str, str]:
        environments.lock_project(self.project.root, self.project.environment_manager)
        names = [service.name for service in chosen]
        options = ("--detach", "--no-build", "--remove-orphans", "--quiet-pull")
        command = engine.Command(self._compose("up", *options, *names))
        failed: list[GaiaflowError] = []

        def up() -> None:
            try:
                for _ in command.lines():
                    pass
            except GaiaflowError as error:
                failed.append(error)

        thread = threading.Thread(target=up)
        for name in names:
            self.report(name, "starting", "")
        thread.start()
        try:
            return self._wait(chosen, thread, failed)
        except BaseException:
            with no_interrupts():
                command.end()
                thread.join()
            raise

    def _wait(
        self, chosen: Sequence[Service], up: threading.Thread, failed: list[GaiaflowError]
    ) -> dict[str, str]:
        """Follow the services until each is healthy or will not be."""
        failures: dict[str, str] = {}
        waiting = {service.name: service for service in chosen}
        while waiting:
            under_way = up.is_alive()
            found = self._containers()
            for name, service in list(waiting.items()):
                container = found.get(name)
                state = self._progress(service, container)
                if state in {"healthy", "done"}:
                    self.report(name, state, "")
                elif state == "failed" and container is not None:
                    failures[name] = self._why(container)
                    self.report(name, "failed", failures[name].splitlines()[0])
                elif container is not None and self._is_late(service, container):
                    failures[name] = self._too_late(container)
                    self.report(name, "failed", failures[name].splitlines()[0])
                elif not under_way and (container is None or state == "stopped"):
                    failures[name] = self._not_started(failures, failed)
                    self.report(name, "failed", failures[name].splitlines()[0])
                else:
                    if container is not None and service.once and state == "starting":
                        self.report(name, "starting", self._tail(container, lines=1))
                    continue
                del waiting[name]
            time.sleep(POLL)
        return failures

    def _progress(self, service: Service, container: Container | None) -> str:
        """How a service that was just told to start stands now."""
        if container is None:
            return "stopped"
        state = container.attrs["State"]
        if state["Status"] == "created":
            return "stopped"
        if service.once:
            ended = state["Status"] == "exited"
            return ("failed" if state["ExitCode"] else "done") if ended else "starting"
        if container.attrs["RestartCount"] > _RESTARTS:
            return "failed"
        found = self._health(service, container)
        return "starting" if found == "failed" and state["Status"] != "exited" else found

    def _why(self, container: Container) -> str:
        code = container.attrs["State"]["ExitCode"]
        if container.attrs["State"].get("OOMKilled"):
            return f"it wanted more memory than it may have\n{self._tail(container)}"
        return f"it ended with exit code {code}\n{explain_output(self._tail(container))}"

    def _is_late(self, service: Service, container: Container) -> bool:
        """Whether a service has had time enough; a step may take long, as a download does."""
        state = container.attrs["State"]
        since = time.time() - _moment(state["StartedAt"])
        return not service.once and state["Status"] == "running" and since > START_LIMIT

    def _too_late(self, container: Container) -> str:
        return f"it did not become healthy within {START_LIMIT:.0f} s\n{self._tail(container)}"

    def _not_started(self, failures: dict[str, str], failed: list[GaiaflowError]) -> str:
        if failures:
            return f"{next(iter(failures))} failed, which it needs"
        return str(failed[0]) if failed else "Docker Compose did not start it"

    def _tail(self, container: Container, lines: int = 15) -> str:
        with engine.answering():
            text = container.logs(tail=lines).decode("utf-8", errors="replace")
        return str(text).rstrip()

    # --- stop --------------------------------------------------------------------------------

    def stop(self, chosen: Sequence[Service]) -> list[str]:
        with self.lock(), no_interrupts():
            engine.end_leftovers(self.project)
            found = self._containers()
            running = [
                service.name
                for service in chosen
                if service.name in found and found[service.name].status in {"running", "restarting"}
            ]
            for name in running:
                self.report(name, "stopping", "")
            everything = {service.name for service in self.services if not service.once}
            if everything <= {service.name for service in chosen}:
                self._down()
            elif running:
                engine.run(self._compose("rm", "--stop", "--force", *running))
            for name in running:
                self.report(name, "stopped", "")
            return running

    def _down(self, *options: str) -> None:
        engine.run(self._compose("down", "--remove-orphans", "--timeout", "8", *options))
        engine.sweep(self._engine, self.project.env["COMPOSE_PROJECT_NAME"])

    # --- logs, environment, cleaning -----------------------------------------------------------

    def log(self, chosen: Sequence[Service], lines: int, follow: bool) -> Iterator[str]:
        found = self._containers()
        names = [service.name for service in chosen if service.name in found]
        if not names:
            wanted = ", ".join(service.name for service in chosen)
            raise GaiaflowError(
                f"{wanted} has no container.\nStart it: python3 mlops_manager.py start"
            )
        options = ("--no-log-prefix", "--no-color", "--tail", str(lines))
        logs = self._compose("logs", *options, *["--follow"] * follow, *names)
        yield from engine.Command(logs).lines()

    def update_environment(self) -> None:
        environments.lock_project(self.project.root, self.project.environment_manager)
        up = ("up", "--no-deps", "--no-log-prefix", "--exit-code-from", "environment")
        self._follow("environment", self._compose(*up, "environment"))

    def clean(self, data: bool) -> Iterator[str]:
        with self.lock(), no_interrupts():
            engine.end_leftovers(self.project)
            name = self.project.env["COMPOSE_PROJECT_NAME"]
            self._down(*(["--volumes"] if data else []))
            yield "containers and networks"
            if data:
                yield "volumes"
                with engine.answering():  # of earlier builds, too, which have no name any more
                    for image in self._engine.images.list(filters={"label": f"{_PROJECT}={name}"}):
                        self._engine.images.remove(str(image.id), force=True)
                yield "images"

    # --- the plugin --------------------------------------------------------------------------

    def build_package(self) -> str:
        """Build the project's own image and return its name.

        Raises:
            GaiaflowError: the build failed.
        """
        with engine.answering():
            self._engine.ping()  # our words, if it is not there, and not those of Compose
        environments.lock_project(self.project.root, self.project.environment_manager)
        image = images.package_image(self.project)
        self._follow(image, self._compose("build", "package"))
        return image

    def _compose(self, *arguments: str) -> Any:
        return engine.compose(self.project, *arguments)

    def _follow(self, name: str, command: Any) -> None:
        """Run a long command and show its last line as progress."""
        self.report(name, "running", "")
        try:
            for line in engine.Command(command).lines():
                self.report(name, "running", line)
        except GaiaflowError:
            self.report(name, "failed", "")
            raise
        self.report(name, "done", "")


def has_images(project: Project) -> bool:
    """Whether the images of a project are on the engine.

    Raises:
        GaiaflowError: no engine answers.
    """
    with contextlib.closing(engine.connect()) as client:
        return _are_there(client, project)


def _are_there(client: docker.DockerClient, project: Project) -> bool:
    name = project.env["COMPOSE_PROJECT_NAME"]
    with engine.answering():
        return all(client.images.list(name=f"{name}-{image}") for image in _IMAGES)


def _moment(text: str) -> float:
    """Seconds since the epoch of a time as Docker writes it, with nanoseconds."""
    whole = text.partition(".")[0].rstrip("Z")
    moment = datetime.datetime.fromisoformat(whole)
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp()
