"""Predictions over HTTP from a container of the project's own image."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import docker
import psutil
import pytest

from tests.stack.serving import close_the_loop, predict, served
from tests.stack.test_services import ask

from .conftest import Project, assert_confined, containers_of, wait_for


@pytest.fixture(scope="module")
def serving(containers: Project, engine: docker.DockerClient) -> Iterator[Project]:
    """The project with its champion served; stopped at the end."""
    if not containers.manage("models", "--json").json():
        trained = containers.manage("run", "landcover")
        assert trained.code == 0, trained
    started = containers.manage("start", "--service", "serving")
    assert started.code == 0, started
    assert engine.images.list(name=containers.manage("image").out.strip())
    yield containers
    stopped = containers.manage("stop", "--service", "serving")
    assert stopped.code == 0, stopped
    assert "serving" not in containers_of(engine, containers)


def test_it_is_as_safe_as_the_others(serving: Project, engine: docker.DockerClient) -> None:
    assert_confined(containers_of(engine, serving)["serving"], serving.env["SERVING_PORT"])
    assert ask(serving.url("SERVING_PORT") + "/")[0] == 401


def test_predictions(serving: Project) -> None:
    assert predict(serving) == (200, {"predictions": ["Water", "Vegetation"]})
    assert served(serving)


@pytest.mark.parametrize("victim", ["worker", "supervisor"])
def test_what_is_killed_comes_back(
    serving: Project, engine: docker.DockerClient, victim: str
) -> None:
    container = containers_of(engine, serving)["serving"]
    processes = container.top(ps_args="-eo pid,args")["Processes"]
    program = f"-m gaiaflow.serving.{victim}"
    [pid] = [int(pid) for pid, args in processes if program in args and "init" not in args]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(pid))
    wait_for(lambda: predict(serving)[0] == 200, 60)


def test_a_start_of_all_leaves_it(serving: Project, engine: docker.DockerClient) -> None:
    before = containers_of(engine, serving)["serving"].id
    assert serving.manage("start", "--backend", "compose").code == 0
    assert containers_of(engine, serving)["serving"].id == before
    assert serving.status()["serving"]["state"] == "healthy"


@pytest.mark.slow
def test_the_loop_closes_by_itself(serving: Project) -> None:
    close_the_loop(serving)
