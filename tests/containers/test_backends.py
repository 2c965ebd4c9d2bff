"""From containers to processes and back: one of them runs at a time, and both keep their data."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from .conftest import Project, containers_of, states


@pytest.mark.slow
def test_there_and_back(running: Project, engine: docker.DockerClient) -> None:
    done = running.manage("deps")  # an environment for processes
    assert done.code == 0, done
    versions = running.probe("tracking")["versions"]
    assert versions

    done = running.manage("start", "--backend", "local")
    assert done.code == 0, done
    assert containers_of(engine, running) == {}
    assert {
        name: item["pid"] is not None for name, item in running.status().items()
    } == dict.fromkeys(running.status(), True)
    assert running.probe("products") == {}  # data of its own

    done = running.manage("start")  # no word about a backend: as the last time
    assert done.code == 0, done
    assert "as processes" in done.err

    done = running.manage("start", "--backend", "compose")
    assert done.code == 0, done
    assert running.processes() == []
    assert set(states(running).values()) == {"healthy"}
    assert running.probe("tracking")["versions"] == versions


def test_stop_ends_whichever_runs(running: Project, engine: docker.DockerClient) -> None:
    done = running.manage("stop")
    assert done.code == 0, done
    assert containers_of(engine, running) == {}
    assert running.processes() == []
    assert "Nothing was running" in running.manage("stop").err


def test_the_choice_says_why(containers: Project, tmp_path: Path) -> None:
    """Without an engine the processes are there, and it is said why they were taken."""
    done = containers.manage(
        "start", "--service", "object-store", DOCKER_HOST=f"unix://{tmp_path}/no.sock"
    )
    assert done.code == 0, done
    assert "Services run as processes: Docker does not answer" in done.err
    assert containers.manage("stop").code == 0
