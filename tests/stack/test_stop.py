"""Stopping: nothing is left but the data, until it is to go too."""

from __future__ import annotations

import stat
import sys

import psutil
import pytest

from .conftest import LIMIT, Project, wait_for


@pytest.mark.slow
def test_data_survive_a_stop(running: Project) -> None:
    assert running.manage("run", "change_me").code == 0
    objects, tracked = running.probe("products"), running.probe("tracking")

    done = running.manage("stop")
    assert done.code == 0, done
    running.assert_nothing_is_left()
    states = running.status().values()
    assert {(item["state"], item["pid"]) for item in states} == {("stopped", None)}
    assert running.manage("stop").code == 0  # twice is fine

    # With a proxy that httpx, in Airflow and JupyterLab, refuses even where it would not use it.
    assert running.manage("start", ALL_PROXY="socks5://127.0.0.1:9").code == 0
    assert running.probe("products") == objects
    assert running.probe("tracking") == tracked
    assert running.manage("run", "change_me", "--json").json()["state"] == "success"


def test_a_stop_during_a_run(running: Project) -> None:
    """Tasks are processes too, of a group and a session of their own."""
    with running.in_background("run", "landcover"):
        wait_for(running.tasks)
        done = running.manage("stop")
    assert done.code == 0, done
    running.assert_nothing_is_left()


@pytest.mark.slow
def test_a_stop_after_all_was_killed(running: Project) -> None:
    running.kill()
    psutil.wait_procs(running.processes(), timeout=10)
    done = running.manage("stop")
    assert done.code == 0, done
    running.assert_nothing_is_left()
    assert {item["state"] for item in running.status().values()} == {"stopped"}


@pytest.mark.slow
def test_a_stop_after_the_leaders_were_killed(running: Project) -> None:
    """The children of a leader that was killed live on, and nothing else ends them."""
    leaders = running.pids().values()
    assert all(leaders)
    for pid in leaders:
        psutil.Process(pid).kill()
    done = running.manage("stop")
    assert done.code == 0, done
    running.assert_nothing_is_left()


@pytest.mark.slow
def test_a_stop_needs_no_settings(running: Project) -> None:
    before = running.env_file.read_bytes()
    running.env_file.write_text("nonsense\n", encoding="utf-8")
    try:
        done = running.manage("stop")
    finally:
        running.env_file.write_bytes(before)
    assert done.code == 0, done
    running.assert_nothing_is_left()


@pytest.mark.slow
@pytest.mark.parametrize(
    "service",
    ["mlflow", "jupyterlab", "airflow-scheduler"],
)
def test_a_service_alone_works(running: Project, service: str) -> None:
    """What it needs comes up with it. An object store that is missing makes MLflow hang."""
    assert running.manage("stop").code == 0
    done = running.manage("start", "--service", service)
    assert done.code == 0, done
    if service == "airflow-scheduler":
        done = running.manage("run", "change_me")
        assert done.code == 0, done
    else:
        assert running.probe("log_dict") == {"a": 1}


@pytest.mark.slow
def test_restart_and_stop_in_a_terminal_of_jupyterlab(running: Project) -> None:
    """They outlive the terminal, which ends with its service, and leave their output."""
    before = running.pids()
    said = running.root / ".gaiaflow" / "detached.log"

    def type_in_terminal(command: str) -> None:
        line = f"{sys.executable} mlops_manager.py {command}"
        address = running.url("JUPYTER_PORT")
        running.probe("terminal", address, running.env["JUPYTER_TOKEN"], line)

    type_in_terminal("restart")
    wait_for(lambda: said.exists() and "LOG IN" in said.read_text(encoding="utf-8"), LIMIT)
    running.assert_all_is_healthy()
    assert set(before.values()).isdisjoint(running.pids().values())
    assert stat.S_IMODE(said.stat().st_mode) == 0o600

    type_in_terminal("stop")
    wait_for(lambda: not running.processes(), LIMIT)
    wait_for(lambda: "jupyterlab: stopped" in said.read_text(encoding="utf-8"))
    running.assert_nothing_is_left()


@pytest.mark.slow
def test_clean_keeps_data_and_clean_data_does_not(running: Project) -> None:
    # The store alone: Airflow would go on with a run that a stop has cut off, and add objects.
    assert running.manage("stop").code == 0
    assert running.manage("start", "--service", "object-store").code == 0
    objects = running.probe("products")
    assert objects
    done = running.manage("clean")
    assert done.code == 0, done
    running.assert_nothing_is_left()
    assert not (running.root / ".gaiaflow" / "logs").exists()
    assert running.manage("start", "--service", "object-store").code == 0
    assert running.probe("products") == objects

    settings = running.env
    done = running.manage("clean", "--data", "--yes")
    assert done.code == 0, done
    running.assert_nothing_is_left()
    assert not (running.root / ".gaiaflow" / "data").exists()
    assert running.env == settings
    assert running.manage("start", "--service", "object-store").code == 0
    assert running.probe("products") == {}
    assert running.manage("stop").code == 0
