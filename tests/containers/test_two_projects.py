"""Two projects on one engine, and a copy that still has the other's name."""

from __future__ import annotations

import shutil
from pathlib import Path

import docker
import pytest

from .conftest import (
    SERVICES,
    Inventory,
    Project,
    Start,
    containers_of,
    name_of,
    states,
)

STORE = ("--backend", "compose", "--service", "object-store")


@pytest.mark.slow
def test_side_by_side(running: Project, new_project: Start, engine: docker.DockerClient) -> None:
    """The second moves to other ports, has data of its own, and cleans up after itself only."""
    other = new_project("Second", package_name="forest_watch")
    other.set_ports(int(running.env["AIRFLOW_PORT"]))
    before = {name: found.id for name, found in containers_of(engine, running).items()}
    inventory = Inventory(engine, name_of(other))

    done = other.manage("start", *STORE)
    assert done.code == 0, done
    assert "ports: moved" in done.err
    assert other.env["OBJECT_STORE_PORT"] != running.env["OBJECT_STORE_PORT"]
    assert states(other)["object-store"] == "healthy"
    assert states(other)["mlflow"] == "stopped"

    done = other.manage("clean", "--data", "--yes")
    assert done.code == 0, done
    after = Inventory(engine, name_of(other))
    assert not any(after.own.values())
    assert after.lacks(inventory) == {}
    assert {name: found.id for name, found in containers_of(engine, running).items()} == before
    assert states(running) == dict.fromkeys(SERVICES, "healthy")


@pytest.mark.slow
def test_a_copied_folder_takes_another_name(
    running: Project, engine: docker.DockerClient, tmp_path: Path
) -> None:
    """With the same name, `clean --data` in the copy would remove the data of the first."""
    copy = Project(tmp_path / "Kopie von Jörg")
    left_out = shutil.ignore_patterns(".venv")
    shutil.copytree(running.root, copy.root, ignore=left_out, symlinks=True)
    before = {name: found.id for name, found in containers_of(engine, running).items()}
    try:
        done = copy.manage("start", *STORE)
        assert done.code == 0, done
        assert name_of(copy) != name_of(running)
        assert "is now called" in done.err
        assert states(copy)["object-store"] == "healthy"
    finally:
        done = copy.manage("clean", "--data", "--yes")
    assert done.code == 0, done
    assert {name: found.id for name, found in containers_of(engine, running).items()} == before
    assert states(running) == dict.fromkeys(SERVICES, "healthy")
