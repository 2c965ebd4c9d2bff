"""An update of a project whose services run as containers, and the way back."""

from __future__ import annotations

import sys
from pathlib import Path

import docker
import pytest

from tests.stack.conftest import person
from tests.stack.test_update import git, outdated

from .conftest import SERVICES, Project, containers_of, exec_in, states

__all__ = ["outdated"]  # a fixture


@pytest.mark.slow
def test_an_update_of_a_running_project(
    environment: Project, outdated: Project, engine: docker.DockerClient
) -> None:
    healthy = dict.fromkeys(SERVICES, "healthy")
    assert outdated.manage("run", "landcover").code == 0
    data = outdated.probe("products"), outdated.probe("tracking")
    before = {container.id for container in containers_of(engine, outdated).values()}
    path = f"{Path(sys.executable).parent}:{person()['PATH']}"  # where Copier is

    done = outdated.manage("update", PATH=path)
    assert done.code == 0, done
    assert "Services are running: restarting them" in done.err
    assert states(outdated) == healthy
    found = containers_of(engine, outdated)
    assert not before & {container.id for container in found.values()}
    code, said = exec_in(found["jupyterlab"], "/opt/env/venv/bin/python", "-c", "import humanize")
    assert code == 0, said
    assert (outdated.probe("products"), outdated.probe("tracking")) == data

    done = outdated.manage("update", "--abort", PATH=path)
    assert done.code == 0, done
    assert git(outdated.root, "status", "--porcelain") == ""
    assert states(outdated) == healthy
