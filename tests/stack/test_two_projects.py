"""Two projects on one machine, and ports that somebody else has."""

from __future__ import annotations

import re
import socket

import pytest

from .conftest import PORTS, Project, free_block, listens

REMARK = "# my own remark, with an ümlaut"


@pytest.mark.slow
def test_two_projects_side_by_side(running: Project, clone: Project) -> None:
    """A second project that wants the same ports moves away, says so, and leaves the first be."""
    before = running.pids()
    assert clone.manage("status").code == 0  # makes .env
    clone.set_ports(int(running.env["AIRFLOW_PORT"]))
    # Somebody else sits where it would move to.
    with socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        foreign.bind(("127.0.0.1", int(clone.env["MLFLOW_PORT"]) + 20))
        foreign.listen()
        text = clone.env_file.read_text(encoding="utf-8")
        clone.env_file.write_text(f"{REMARK}\n{text}", encoding="utf-8")
        services = ("--service", "object-store", "--service", "mlflow")
        done = clone.manage("start", *services)
    assert done.code == 0, done
    assert re.search(r"ports: moved.* port \d+ is taken by .*, pid \d+; \.env now has", done.err)

    distances = {int(clone.env[name]) - int(running.env[name]) for name in PORTS}
    assert len(distances) == 1
    assert min(distances) >= 40
    moved = clone.env_file.read_text(encoding="utf-8")
    assert moved.startswith(f"{REMARK}\n")
    assert re.sub(r"(?m)_PORT=\d+$", "", moved) == re.sub(
        r"(?m)_PORT=\d+$", "", f"{REMARK}\n{text}"
    )

    states = {name: item["state"] for name, item in clone.status().items()}
    assert (states["object-store"], states["mlflow"]) == ("healthy", "healthy")
    assert states["airflow-scheduler"] == states["jupyterlab"] == "stopped"
    assert running.pids() == before
    running.assert_all_is_healthy()

    # A command of one does not reach into the other.
    ours, theirs = running.processes(), clone.processes()
    assert not set(ours) & set(theirs)
    assert clone.manage("clean", "--data", "--yes").code == 0
    clone.assert_nothing_is_left()
    running.assert_all_is_healthy()
    assert running.pids() == before
    assert all(listens(port) for port in running.ports())


@pytest.mark.slow
def test_the_first_look_is_at_all_ports(clone: Project) -> None:
    """Also at that of the map, which would otherwise move the ports of a project that runs."""
    assert clone.manage("status").code == 0  # makes .env
    clone.set_ports(free_block())
    with socket.socket() as foreign:
        foreign.bind(("127.0.0.1", int(clone.env["MAPS_PORT"])))
        foreign.listen()
        started = clone.manage("start", "--service", "object-store")
    assert started.code == 0, started
    assert "ports: moved" in started.err
    assert clone.manage("clean", "--data", "--yes").code == 0
    clone.assert_nothing_is_left()
