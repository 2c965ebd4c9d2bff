"""Services and managers that die in the middle of it, and starts that repair it."""

from __future__ import annotations

import signal

import psutil
import pytest

from .conftest import SERVICES, Project, has_ended, wait_for

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_killed_service_is_seen_and_restarted(running: Project, name: str) -> None:
    before = running.pids()
    leader = running.leader(name)
    leader.kill()
    wait_for(lambda: has_ended(leader))

    status = running.status()
    assert status[name]["state"] == "failed"
    assert status[name]["pid"] is None
    done = running.manage("start")
    assert done.code == 0, done
    running.assert_all_is_healthy()
    after = running.pids()
    assert after.pop(name) != before.pop(name)
    assert after == before  # no other service was touched


def test_a_run_is_green_after_all_that(running: Project) -> None:
    done = running.manage("run", "change_me")
    assert done.code == 0, done


def records(project: Project) -> int:
    """How many services the manager has started so far."""
    return len(list((project.root / ".gaiaflow" / "run").glob("*.json")))


def service_of(process: psutil.Process) -> str:
    """The service that it belongs to; empty if it has just ended."""
    try:
        return process.environ().get("GAIAFLOW_SERVICE", "")
    except psutil.Error:
        return ""


@pytest.mark.parametrize("started", [1, 4])
def test_a_start_whose_manager_was_killed(stack: Project, started: int) -> None:
    assert stack.manage("stop").code == 0
    with stack.in_background("start") as manager:
        wait_for(lambda: records(stack) >= started)
        manager.send_signal(signal.SIGKILL)
        manager.wait()
    assert stack.processes()
    done = stack.manage("start")
    assert done.code == 0, done
    stack.assert_all_is_healthy()
    leaders = set(stack.pids().values())
    processes = stack.processes()
    assert {service_of(process) for process in processes} - {""} == SERVICES
    assert leaders <= {process.pid for process in processes}


@pytest.mark.parametrize(
    ("how", "started"), [("SIGINT", 0), ("SIGINT", 1), ("SIGINT", 4), ("SIGTERM", 4), ("SIGHUP", 1)]
)
def test_an_interrupted_start_leaves_all_or_nothing(stack: Project, how: str, started: int) -> None:
    assert stack.manage("stop").code == 0
    with stack.in_background("start") as manager:
        if started:
            wait_for(lambda: records(stack) >= started)
        else:
            wait_for(lambda: "mlops_manager.py" in " ".join(manager.cmdline()))
        manager.send_signal(signal.Signals[how])
        code = manager.wait(timeout=60)
    if code == 0:
        stack.assert_all_is_healthy()
    else:
        stack.assert_nothing_is_left()
        states = {item["state"] for item in stack.status().values()}
        assert states == {"stopped"}
    if started:
        assert code == 130
