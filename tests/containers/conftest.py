"""One generated project whose services run as containers, shared by all tests of this folder.

They need a Docker engine with Compose; `python -m tests.engine` makes one on a bare machine, and
stand-ins for the images where no registry can be reached. What they make on the engine is gone at
the end.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import DockerException
from docker.models.containers import Container

from tests.conftest import share_services
from tests.stack.conftest import (  # generate and uv: fixtures
    Generate,
    Project,
    execute,
    free_block,
    generate,
    has_ended,
    person,
    uv,
    wait_for,
)

__all__ = [
    "Generate",
    "Project",
    "execute",
    "free_block",
    "generate",
    "has_ended",
    "person",
    "uv",
    "wait_for",
]

HERE = Path(__file__).resolve().parent
SERVICES = {
    "postgres",
    "airflow-api-server",
    "airflow-scheduler",
    "airflow-dag-processor",
    "mlflow",
    "object-store",
    "jupyterlab",
}

# Modules in the order in which they leave the shared services as they are, hurt, or end them.
ORDER = (
    "test_pipeline",
    "test_browser",
    "test_maps",
    "test_own_services",
    "test_serving",
    "test_isolation",
    "test_update",  # before this changes what the release changes, too
    "test_deps",
    "test_build",
    "test_publish",
    "test_crash",
    "test_failures",
    "test_two_projects",
    "test_documentation",
    "test_backends",
    "test_older_databases",
    "test_setup_start",
    "test_clean",
)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    share_services(items, HERE, ORDER, {})


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A client of the engine."""
    try:
        client = docker.from_env(timeout=120)
        client.ping()
    except DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    if execute("docker", "compose", "version", cwd=HERE).code:
        pytest.skip("Docker has no Compose plugin")
    yield client
    client.close()


# Tasks and pods of tests/stack, which may run at the same time; they come and go.
OF_TESTS_BESIDE = {"gaiaflow.double", "gaiaflow.task"}


class Inventory:
    """What is on an engine, but for what a project's name marks as its own."""

    def __init__(self, client: docker.DockerClient, *names: str) -> None:
        # Other programs may use the engine, too: what comes and goes is compared by name.
        listed: dict[str, list[str | None]] = {
            "containers": [
                found.name
                for found in client.containers.list(all=True, ignore_removed=True)
                if not OF_TESTS_BESIDE & found.labels.keys()
            ],
            "images": [
                # One that was rebuilt meanwhile has lost its name, but not its label.
                (found.tags or [found.labels.get("com.docker.compose.project", "")])[0]
                for found in client.images.list()
            ],
            "volumes": [found.name for found in client.volumes.list()],
            "networks": [found.name for found in client.networks.list()],
        }
        known = {kind: set(filter(None, found)) for kind, found in listed.items()}
        self.own = {
            kind: {name for name in found if any(own in name for own in names)}
            for kind, found in known.items()
        }
        self.others = {kind: found - self.own[kind] for kind, found in known.items()}

    def lacks(self, before: Inventory) -> dict[str, set[str]]:
        """What others had and have no more."""
        missing = {kind: before.others[kind] - found for kind, found in self.others.items()}
        return {kind: names for kind, names in missing.items() if names}


def name_of(project: Project) -> str:
    return project.env["COMPOSE_PROJECT_NAME"]


def containers_of(client: docker.DockerClient, project: Project) -> dict[str, Container]:
    """The containers of a project by service."""
    mine: Any = {"label": f"com.docker.compose.project={name_of(project)}"}
    found = client.containers.list(all=True, filters=mine, ignore_removed=True)
    return {container.labels["com.docker.compose.service"]: container for container in found}


def kill_main_process(container: Container) -> None:
    """As a crash does it. `docker kill` would tell the engine that a person wants it stopped."""
    container.reload()
    os.kill(container.attrs["State"]["Pid"], signal.SIGKILL)


def exec_in(container: Container, *command: str, **options: Any) -> tuple[int, str]:
    """Run a command in a container: its exit code and what it writes."""
    done: Any = container.exec_run(list(command), **options)
    return int(done.exit_code), str(done.output.decode("utf-8", errors="replace"))


def assert_confined(container: Container, port: str) -> None:
    """It has no rights, no root and no settings, and is reached from this machine alone."""
    host = container.attrs["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] > 0
    users = {row[0] for row in container.top(ps_args="-eo uid,pid,args")["Processes"]}
    assert "0" not in users
    [[binding]] = [found for found in host["PortBindings"].values() if found]
    assert binding == {"HostIp": "127.0.0.1", "HostPort": port}
    assert exec_in(container, "test", "-s", "/opt/project/.env")[0] == 1  # not there, or empty


Start = Callable[..., Project]


@pytest.fixture(scope="session")
def new_project(engine: docker.DockerClient, generate: Generate) -> Iterator[Start]:
    """Make projects; what they leave on the engine is removed at the end."""
    made: list[Project] = []

    def new(name: str, **answers: str) -> Project:
        project, done = generate(name, **answers)
        made.append(project)
        if "setup" not in answers:
            project.set_ports(free_block())
        elif answers["setup"] == "start":
            assert "The example is green" in done.err, done
        return project

    yield new
    for project in made:
        done = project.manage("clean", "--data", "--yes")
        assert done.code == 0, done


@pytest.fixture(scope="session")
def containers(new_project: Start) -> Project:
    """The project of all tests, with its services up as containers."""
    project = new_project("Wälder und Seen", package_name="forest_watch")
    started = project.manage("start", "--backend", "compose")
    assert started.code == 0, started
    return project


@pytest.fixture(scope="session")
def run(containers: Project) -> Any:
    """A green run of all tests, as `run` prints it."""
    return containers.manage("run", "landcover", "--json").json()


@pytest.fixture
def running(containers: Project) -> Project:
    """The same, whatever the test before has done to it."""
    started = containers.manage("start", "--backend", "compose")
    assert started.code == 0, started
    return containers


@pytest.fixture(scope="session")
def environment(containers: Project) -> Project:
    """The same, with an environment of its own on this machine for programs that look into it."""
    done = containers.manage("deps")
    assert done.code == 0, done
    return containers


def states(project: Project) -> dict[str, str]:
    return {name: item["state"] for name, item in project.status().items()}
