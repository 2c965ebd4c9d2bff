"""The how-tos on containers, from top to bottom."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import docker
import pytest
from docker.errors import ImageNotFound

from tests.docs.blocks import commands_of
from tests.stack.conftest import person, run_block

from .conftest import SERVICES, Project, containers_of, states


@pytest.fixture(autouse=True)
def image(engine: docker.DockerClient) -> Iterator[None]:
    """Remove the image that the pages build."""
    yield
    with contextlib.suppress(ImageNotFound):  # `clean --data` removes it, too
        engine.images.remove("forest-watch:0.1.0", force=True)


def run_all(project: Project, commands: list[str]) -> None:
    for command in commands:
        done = run_block(project, command.replace(" --follow", ""), person())
        assert done.code == 0, (command, done)


@pytest.mark.slow
def test_containers(environment: Project, engine: docker.DockerClient) -> None:
    page = "how-to/containers.md"
    commands = commands_of(page)
    [restore] = [number for number, text in enumerate(commands) if "--extract" in text]
    run_all(environment, commands[:restore])
    started = environment.manage("start", "--backend", "compose")
    assert started.code == 0, started
    before = environment.probe("products"), environment.probe("tracking")
    cleaned = environment.manage("clean", "--data", "--yes")
    assert cleaned.code == 0, cleaned

    run_all(environment, commands[restore : restore + 1])
    assert (environment.probe("products"), environment.probe("tracking")) == before
    run_all(environment, commands[restore + 1 :])
    assert containers_of(engine, environment) == {}


@pytest.mark.slow
def test_tasks_as_containers(running: Project) -> None:
    page = "how-to/modes.md"
    before = running.env_file.read_bytes()
    try:
        run_all(running, commands_of(page))
    finally:
        running.env_file.write_bytes(before)
    assert running.manage("restart").code == 0
    assert states(running) == dict.fromkeys(SERVICES, "healthy")
