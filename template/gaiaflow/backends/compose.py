"""The compose backend: each service is a container defined in docker-compose.yml."""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from gaiaflow import services
from gaiaflow.backends import engine, ports
from gaiaflow.backends.base import (
    PATIENCE,
    POLL,
    START_LIMIT,
    Backend,
    ServiceStatus,
    no_interrupts,
)
from gaiaflow.project import image, settings
from gaiaflow.project.errors import GaiaflowError, explain_output
from gaiaflow.project.paths import AIRFLOW_LOCK, MAPS_LOCK, MLFLOW_LOCK
from gaiaflow.project.project import Project
from gaiaflow.project.stamps import Stamp
from gaiaflow.services import Service

_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_FOLDER = "com.docker.compose.project.working_dir"
_RESTARTS = 2  # a service that has ended more often will end again

# Our images, each with a service in docker-compose.yml that builds it.
_IMAGES = {"airflow": "airflow-init", "mlflow": "mlflow", "environment": "environment"}
_MAPS_IMAGE = {"maps": "maps"}  # only for that service, which few starts include
_SERVES_PACKAGE = "serving"  # runs in the project's own image


class ComposeBackend(Backend):
    """Runs one project's services as containers of its Docker Compose project."""

    name = "compose"

    @property
    def services(self) -> tuple[Service, ...]:
        return services.all_services(self.project.root)

    def depends_on(self, service: Service) -> Iterable[str]:
        return list(self._config[service.name].get("depends_on", {}))

    @cached_property
    def _config(self) -> Any:
        """The services in docker-compose.yml, with all settings filled in."""
        return json.loads(engine.run(self._compose("config", "--format", "json")))["services"]

    @cached_property
    def _engine(self) -> docker.DockerClient:
        return engine.connect()

    # --- status ------------------------------------------------------------------------------

    def status(self, chosen: Sequence[Service]) -> list[ServiceStatus]:
        found = self._containers()
        with ThreadPoolExecutor(max_workers=len(chosen) or 1) as pool:
            states = pool.map(lambda service: self._state(service, found), chosen)
        return [
            state
            for service, state in zip(chosen, states, strict=True)
            if state.state != "stopped" or service.is_enabled(self.project)
        ]

    def _containers(self) -> dict[str, Container]:
        """This project's containers by service."""
        name = self.project.env["COMPOSE_PROJECT_NAME"]
        filters: dict[str, str | list[str] | bool] = {"label": f"{_PROJECT}={name}"}
        with engine.answering():
            found = self._engine.containers.list(all=True, filters=filters, ignore_removed=True)
        own = [container for container in found if self._is_ours(container)]
        return {container.labels[_SERVICE]: container for container in own}

    def _is_ours(self, container: Container) -> bool:
        one_off = container.labels.get("com.docker.compose.oneoff") == "True"
        return not one_off and _SERVICE in container.labels

    def _state(self, service: Service, found: dict[str, Container]) -> ServiceStatus:
        container = found.get(service.name)
        return ServiceStatus(
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
        if state["Status"] != "running":  # restarting or paused
            return "failed"
        health = state.get("Health", {}).get("Status", "starting")  # some images can't tell
        ask = service.healthy_in_container or service.healthy
        # Docker asks only every ten seconds; we want to know at once.
        if ask and health == "starting" and ask(self.project, _moment(state["StartedAt"])):
            return "healthy"
        return "failed" if health == "unhealthy" else str(health)

    # --- start -------------------------------------------------------------------------------

    def start(self, chosen: Sequence[Service]) -> dict[str, str]:
        with self.lock():
            engine.end_leftovers(self.project)
            self._be_no_copy()
            chosen = self.with_dependencies(chosen)
            try:
                due = self._due(chosen)
                if not due:
                    return {}
                with ports.Claims() as claims:
                    self._settle_ports(due, claims)
                    self._make_images(chosen)
                    return self._bring_up(chosen)
            except KeyboardInterrupt:
                with no_interrupts():
                    self.notify("start", "stopping", "all services (interrupted)")
                    self._down()
                    self.notify("start", "stopped", "")
                raise

    def _be_no_copy(self) -> None:
        """Take a new name if this folder is a copy of a project that uses the same one."""
        name = self.project.env["COMPOSE_PROJECT_NAME"]
        record = self.project.state.compose_root
        known = [record.read_text(encoding="utf-8").strip()] if record.exists() else []
        known += [container.labels.get(_FOLDER, "") for container in self._containers().values()]
        for other in {Path(folder) for folder in known if folder} - {self.project.root}:
            env = other / ".env"
            if env.exists() and f"COMPOSE_PROJECT_NAME={name}\n" in env.read_text("utf-8"):
                fresh = settings.compose_name(self.project.identity.package)
                self.project = self.project.with_env({"COMPOSE_PROJECT_NAME": fresh})
                what = f"{other} uses {name}; this project is now called {fresh}"
                self.notify("name", "moved", what)
                break
        record.write_text(f"{self.project.root}\n", encoding="utf-8")

    def _due(self, chosen: Sequence[Service]) -> list[Service]:
        running = [service for service in chosen if not service.oneshot]
        deadline = time.monotonic() + PATIENCE
        while True:
            states = {state.service: state.state for state in self.status(running)}
            slow = [name for name, state in states.items() if state == "starting"]
            if not slow or time.monotonic() > deadline:
                break
            for name in slow:
                self.notify(name, "waiting", "for an answer")
            time.sleep(POLL)
        for name, state in states.items():
            if state == "healthy":
                self.notify(name, "healthy", "already")
        due = [service for service in running if states.get(service.name) != "healthy"]
        hung = {name for name, state in states.items() if state in {"starting", "failed"}}
        # A container that never ran may lack networks if its creator was killed. And the end of a
        # step that failed last time would be taken for this time's.
        hung |= {name for name, found in self._containers().items() if _is_left_over(found)}
        if hung:  # left by a crash
            engine.run(self._compose("rm", "--stop", "--force", *sorted(hung)))
        return due

    def _settle_ports(self, due: Sequence[Service], claims: ports.Claims) -> None:
        # The first look is at all ports: a move later would stop what runs.
        running = any(found.status == "running" for found in self._containers().values())
        looked_at = due if running else self.services
        published = [service.ports(self.project.env)[0] for service in looked_at if service.ports]
        port = ports.taken(published, claims)
        if port is not None:
            self._down()
            self.move_ports(port, claims)

    def _make_images(self, chosen: Sequence[Service]) -> None:
        """Build our images if their sources have changed; pull the others."""
        state = self.project.state
        locks = [AIRFLOW_LOCK, MLFLOW_LOCK]
        if self._build("images", _IMAGES, state.images_stamp, locks):
            pull = ("pull", "--ignore-buildable", "--policy", "missing")
            self._follow("other images", self._compose(*pull))
        if any(service.name in _MAPS_IMAGE.values() for service in chosen):
            self._build("image of maps", _MAPS_IMAGE, state.maps_image_stamp, [MAPS_LOCK])
        if any(service.name == _SERVES_PACKAGE for service in chosen):
            self.build_package()

    def _build(
        self, name: str, images: Mapping[str, str], record: Path, locks: Sequence[Path]
    ) -> bool:
        """Build images if their sources have changed. Return whether they had."""
        root = self.project.root
        sources = [root / "docker-compose.yml", *sorted((root / "dockerfiles").rglob("*"))]
        sources += [*locks, root / ".env"]
        files = [source for source in sources if source.is_file()]
        stamp = Stamp(record, root / "docker-compose.yml", files)
        if stamp.is_fresh() and _are_there(self._engine, self.project, images):
            return False
        self._follow(name, self._compose("build", *images.values()))
        stamp.write()
        return True

    def _bring_up(self, chosen: Sequence[Service]) -> dict[str, str]:
        self.project.environment.lock()
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
            self.notify(name, "starting", "")
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
        """Follow the services until each is healthy or has failed."""
        failures: dict[str, str] = {}
        waiting = {service.name: service for service in chosen}
        while waiting:
            under_way = up.is_alive()
            found = self._containers()
            for name, service in list(waiting.items()):
                container = found.get(name)
                state = self._progress(service, container)
                if state in {"healthy", "done"}:
                    self.notify(name, state, "")
                elif state == "failed" and container is not None:
                    failures[name] = self._why(container)
                    self.notify(name, "failed", failures[name].splitlines()[0])
                elif container is not None and self._is_late(service, container):
                    failures[name] = self._too_late(container)
                    self.notify(name, "failed", failures[name].splitlines()[0])
                elif not under_way and (container is None or state == "stopped"):
                    failures[name] = self._not_started(failures, failed)
                    self.notify(name, "failed", failures[name].splitlines()[0])
                else:
                    if container is not None and service.oneshot and state == "starting":
                        self.notify(name, "starting", self._tail(container, lines=1))
                    continue
                del waiting[name]
            time.sleep(POLL)
        return failures

    def _progress(self, service: Service, container: Container | None) -> str:
        """The state of a service that was just told to start."""
        if container is None:
            return "stopped"
        state = container.attrs["State"]
        if state["Status"] == "created":
            return "stopped"
        if service.oneshot:
            ended = state["Status"] == "exited"
            return ("failed" if state["ExitCode"] else "done") if ended else "starting"
        if container.attrs["RestartCount"] > _RESTARTS:
            return "failed"
        found = self._health(service, container)
        return "starting" if found == "failed" and state["Status"] != "exited" else found

    def _why(self, container: Container) -> str:
        code = container.attrs["State"]["ExitCode"]
        if container.attrs["State"].get("OOMKilled"):
            return f"it needed more memory than its limit\n{self._tail(container)}"
        return f"it ended with exit code {code}\n{explain_output(self._tail(container))}"

    def _is_late(self, service: Service, container: Container) -> bool:
        """Whether a service has had enough time; steps such as downloads may take long."""
        state = container.attrs["State"]
        since = time.time() - _moment(state["StartedAt"])
        return not service.oneshot and state["Status"] == "running" and since > START_LIMIT

    def _too_late(self, container: Container) -> str:
        return f"it did not become healthy within {START_LIMIT:.0f} s\n{self._tail(container)}"

    def _not_started(self, failures: dict[str, str], failed: list[GaiaflowError]) -> str:
        if failures:
            return f"it needs {next(iter(failures))}, which failed"
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
                self.notify(name, "stopping", "")
            everything = {service.name for service in self.services if not service.oneshot}
            if everything <= {service.name for service in chosen}:
                self._down()
            elif running:
                engine.run(self._compose("rm", "--stop", "--force", *running))
            for name in running:
                self.notify(name, "stopped", "")
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
        self.project.environment.lock()
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
                with engine.answering():  # also those of earlier builds, which have lost their name
                    for image in self._engine.images.list(filters={"label": f"{_PROJECT}={name}"}):
                        self._engine.images.remove(str(image.id), force=True)
                yield "images"

    # --- the plugin --------------------------------------------------------------------------

    def build_package(self) -> str:
        """Build the project's own image and return its name.

        Raises:
            GaiaflowError: the build failed.
        """
        self._answers()
        self.project.environment.lock()
        name = image.package_image(self.project)
        self._follow(name, self._compose("build", "package"))
        return name

    def build_airflow(self) -> str:
        """Build the image of Airflow for a team's cluster and return its name.

        It gets the name of the image for the services here: give the project a different one.

        Raises:
            GaiaflowError: the build failed.
        """
        self._answers()
        service = _IMAGES["airflow"]
        self._follow(
            "image of Airflow", self._compose("build", "--build-arg", "LOCK=production", service)
        )
        return str(self._config[service]["image"])

    def build_mlflow(self) -> str:
        """Build the image of MLflow and return its name.

        Raises:
            GaiaflowError: the build failed.
        """
        self._answers()
        self._follow("image of MLflow", self._compose("build", "mlflow"))
        return str(self._config["mlflow"]["image"])

    def definition(self, service: str) -> dict[str, Any]:
        """A service in docker-compose.yml, with all settings filled in.

        Raises:
            GaiaflowError: Compose can't read the file.
        """
        return dict(self._config[service])

    def _answers(self) -> None:
        with engine.answering():
            self._engine.ping()  # if Docker is down, our message is better than Compose's

    def _compose(self, *arguments: str) -> Any:
        return engine.compose(self.project, *arguments)

    def _follow(self, name: str, command: Any) -> None:
        """Run a long command and show its last line as progress."""
        self.notify(name, "running", "")
        try:
            for line in engine.Command(command).lines():
                self.notify(name, "running", line)
        except GaiaflowError:
            self.notify(name, "failed", "")
            raise
        self.notify(name, "done", "")


def has_images(project: Project) -> bool:
    """Whether Docker has a project's images.

    Raises:
        GaiaflowError: Docker does not answer.
    """
    with contextlib.closing(engine.connect()) as client:
        return _are_there(client, project, _IMAGES)


def _is_left_over(container: Container) -> bool:
    """Whether a container of an earlier start would be in the way of a new one."""
    if container.status == "created":
        return True
    return container.status == "exited" and container.attrs["State"]["ExitCode"] != 0


def _are_there(client: docker.DockerClient, project: Project, images: Iterable[str]) -> bool:
    name = project.env["COMPOSE_PROJECT_NAME"]
    with engine.answering():
        return all(client.images.list(name=f"{name}-{image}") for image in images)


def _moment(text: str) -> float:
    """Convert a timestamp of Docker's, which has nanoseconds, to seconds since the epoch."""
    whole = text.partition(".")[0].rstrip("Z")
    moment = datetime.datetime.fromisoformat(whole)
    return moment.replace(tzinfo=datetime.UTC).timestamp()
