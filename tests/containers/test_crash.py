"""Containers that die in the middle of a run, and managers that die in the middle of a start."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from .conftest import (
    SERVICES,
    Project,
    containers_of,
    has_ended,
    kill_main_process,
    states,
    wait_for,
)

pytestmark = pytest.mark.slow


def wait_until_task_runs(log: Path, number: int) -> None:
    """Wait for the n-th task of a run, as the command that follows the run tells them."""

    def begun() -> bool:
        # The first line of that kind is the DAG's own.
        told = re.findall(r"(?m)^(\w+): running", log.read_text(encoding="utf-8"))
        return len(set(told)) > number

    wait_for(begun, limit=240)


def wait_until_restarted(container: Container) -> None:
    restarts = container.attrs["RestartCount"]

    def is_back() -> bool:
        container.reload()
        state = container.attrs["State"]
        return bool(container.attrs["RestartCount"] > restarts and state["Running"])

    wait_for(is_back)


@pytest.mark.parametrize(
    "victims",
    [
        # One after another, each while another task runs.
        ("object-store", "airflow-api-server", "mlflow"),
        ("airflow-dag-processor", "postgres", "jupyterlab"),
        ("airflow-scheduler",),  # its task is tried again once its heartbeat has been missed
    ],
    ids=" ".join,
)
def test_a_run_survives(
    running: Project, engine: docker.DockerClient, victims: tuple[str, ...]
) -> None:
    log = running.root.parent / "background.log"
    with running.in_background("run", "landcover") as manager:
        for number, victim in enumerate(victims, start=1):
            wait_until_task_runs(log, number)
            container = containers_of(engine, running)[victim]
            kill_main_process(container)
            wait_until_restarted(container)
        code = manager.wait(timeout=400)
    assert code == 0, log.read_text(encoding="utf-8")
    healthy = dict.fromkeys(SERVICES, "healthy")
    wait_for(lambda: states(running) == healthy, limit=120)


def has_container(engine: docker.DockerClient, project: Project, name: str) -> bool:
    return name in containers_of(engine, project)


def test_a_start_whose_manager_was_killed(containers: Project, engine: docker.DockerClient) -> None:
    assert containers.manage("stop").code == 0
    with containers.in_background("start", "--backend", "compose") as manager:
        wait_for(lambda: has_container(engine, containers, "postgres"))
        manager.send_signal(signal.SIGKILL)
        manager.wait()
    done = containers.manage("start", "--backend", "compose")
    assert done.code == 0, done
    assert states(containers) == dict.fromkeys(SERVICES, "healthy")


@pytest.mark.parametrize(
    ("how", "seen"),
    [("SIGINT", "postgres"), ("SIGTERM", "mlflow")],
)
def test_an_interrupted_start_leaves_nothing(
    containers: Project, engine: docker.DockerClient, how: str, seen: str
) -> None:
    assert containers.manage("stop").code == 0
    with containers.in_background("start", "--backend", "compose") as manager:
        wait_for(lambda: has_container(engine, containers, seen))
        children = manager.children(recursive=True)
        manager.send_signal(signal.Signals[how])
        assert manager.wait(timeout=120) == 130
        wait_for(lambda: all(map(has_ended, children)))
    assert containers_of(engine, containers) == {}


def test_a_service_that_hangs_is_restarted(running: Project, engine: docker.DockerClient) -> None:
    """`start` restarts what runs but does not answer, as it restarts what has ended."""
    container = containers_of(engine, running)["mlflow"]
    container.pause()
    assert states(running)["mlflow"] == "failed"
    done = running.manage("start", "--backend", "compose")
    assert done.code == 0, done
    assert states(running)["mlflow"] == "healthy"
    assert containers_of(engine, running)["mlflow"].id != container.id
