"""A command that was called within a service outlives it."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gaiaflow.backends import processes
from gaiaflow.cli import detached
from gaiaflow.project.environments import airflow_stamp
from gaiaflow.project.paths import StateFolder


@pytest.fixture
def project(bare_project: Path) -> Path:
    """A project with an environment that borrows the packages of this one."""
    folder = StateFolder(bare_project).airflow
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    airflow_stamp(bare_project).write()
    return bare_project


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def serve(project: Path, script: str) -> psutil.Process:
    """A service in which somebody types something."""
    command = ["/bin/sh", "-c", script, "sh", str(StateFolder(project).airflow_python)]
    log = project / "terminal.log"
    process = processes.spawn(command, os.environ, project, "jupyterlab", log)
    processes.remember(StateFolder(project).run / "jupyterlab.json", process, project)
    return psutil.Process(process.pid)


@pytest.mark.parametrize("environment", ["", "env -i"], ids=["marked", "without a mark"])
def test_a_stop_within_a_service(project: Path, environment: str) -> None:
    service = serve(project, f'{environment} "$1" mlops_manager.py stop; sleep 60')
    log = detached.log_of(project)
    wait_for(lambda: log.exists() and "jupyterlab: stopped" in log.read_text(encoding="utf-8"))
    assert not service.is_running() or service.status() == psutil.STATUS_ZOMBIE
    shown = (project / "terminal.log").read_text(encoding="utf-8")
    assert "This terminal belongs to jupyterlab, which may stop now." in shown
    assert str(log) in "".join(shown.split("\n"))


def test_what_does_not_concern_the_service_goes_on_in_it(project: Path) -> None:
    service = serve(
        project, '"$1" mlops_manager.py stop --service mlflow; echo "code $?"; sleep 60'
    )
    try:
        shown = project / "terminal.log"
        wait_for(lambda: "code " in shown.read_text(encoding="utf-8"))
        assert "Nothing was running.\ncode 0" in shown.read_text(encoding="utf-8")
        assert service.is_running()
    finally:
        service.kill()


def test_its_output_and_exit_code_are_passed_on(project: Path) -> None:
    wrong = "stop --service jupyterlab --service mlfow"
    script = f'"$1" mlops_manager.py {wrong}; echo "code $?"; sleep 60'
    service = serve(project, script)
    try:
        shown = project / "terminal.log"
        wait_for(lambda: "code " in shown.read_text(encoding="utf-8"))
        said = shown.read_text(encoding="utf-8")
        assert "There is no service 'mlfow'. Did you mean mlflow" in said
        assert "code 2" in said and service.is_running()
    finally:
        service.kill()


def test_elsewhere_there_is_no_such_service(project: Path) -> None:
    assert detached.surrounding_service(project) is None
