"""Families of processes: found whatever they did to hide, ended whatever they ignore."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from gaiaflow.backends import local, processes
from gaiaflow.backends.families import Families

# A leader with a child, a grandchild in a session of its own, and an orphan that double-forked;
# all but the leader ignore TERM. Each writes its pid into the folder that is given.
TREE = """
import os, pathlib, signal, sys, time

def live(name):
    pathlib.Path(sys.argv[1], name).write_text(str(os.getpid()))
    time.sleep(60)
    os._exit(0)

if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        live("session")
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork() == 0:
            live("orphan")
        os._exit(0)
    os.waitpid(middle, 0)
    live("child")
live("leader")
"""
MEMBERS = {"leader", "child", "session", "orphan"}


class Family:
    def __init__(self, root: Path) -> None:
        self.root = root
        pids = root / "pids"
        pids.mkdir()
        command = [sys.executable, "-c", TREE, str(pids)]
        self.leader = processes.spawn(command, os.environ, root, "mlflow", root / "mlflow.log")
        self.record = root / "mlflow.json"
        processes.remember(self.record, self.leader, root)
        deadline = time.monotonic() + 20
        while {file.name for file in pids.iterdir() if file.read_text()} != MEMBERS:
            assert time.monotonic() < deadline, (root / "mlflow.log").read_text()
            time.sleep(0.02)
        self.pids = {file.name: int(file.read_text()) for file in pids.iterdir()}

    def alive(self) -> set[str]:
        return {name for name, pid in self.pids.items() if running(pid)}

    def found(self) -> set[int]:
        leader = processes.recall(self.record, self.root)
        [members] = processes.families(self.root, {"mlflow": leader}).values()
        return {member.pid for member in members}


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def family(project_root: Path) -> Iterator[Family]:
    family = Family(project_root)
    yield family
    for pid in family.pids.values():
        if running(pid):
            psutil.Process(pid).kill()
    family.leader.wait()


def test_a_whole_family_is_found_and_ended(family: Family) -> None:
    assert family.found() == set(family.pids.values())
    leader = processes.recall(family.record, family.root)
    [members] = processes.families(family.root, {"mlflow": leader}).values()
    assert members[0].pid == family.leader.pid  # the leader comes first
    assert processes.terminate(members, grace=0.3) == []
    assert family.alive() == set()


def test_a_family_is_found_without_its_leader(family: Family) -> None:
    family.leader.kill()
    family.leader.wait()
    leader = processes.recall(family.record, family.root)
    assert leader is not None
    assert leader.process is None
    assert family.found() == {pid for name, pid in family.pids.items() if name != "leader"}


def test_a_family_is_found_without_a_record(family: Family) -> None:
    family.record.unlink()
    assert family.found() == set(family.pids.values())


def test_another_projects_family_is_left_alone(family: Family, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert processes.families(other, {"mlflow": None}) == {"mlflow": []}
    assert processes.families(family.root, {"jupyterlab": None}) == {"jupyterlab": []}


def test_a_reused_pid_is_not_believed(family: Family) -> None:
    leader = processes.recall(family.record, family.root)
    assert leader is not None
    assert leader.process is not None
    assert replace(leader, create_time=leader.create_time - 3600).process is None
    record = json.loads(family.record.read_text(encoding="utf-8"))
    record |= {"pid": os.getpid(), "born": leader.create_time - 3600}
    family.record.write_text(json.dumps(record), encoding="utf-8")
    assert os.getpid() not in family.found()


def test_0_4_can_read_a_record(family: Family) -> None:
    """It does after `update --abort`, if services run."""
    record = json.loads(family.record.read_text(encoding="utf-8"))
    assert list(record) == ["pid", "root", "sockets", "born"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1}'])
def test_an_unreadable_record_is_none(family: Family, text: str) -> None:
    family.record.write_text(text, encoding="utf-8")
    assert processes.recall(family.record, family.root) is None


def test_the_record_of_a_copied_project_is_not_believed(family: Family, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "mlops_manager.py").touch()
    assert processes.recall(family.record, copy) is None
    # A project that was moved is the same project.
    (family.root / "mlops_manager.py").unlink()
    moved = processes.recall(family.record, copy)
    assert moved is not None
    assert moved.process is not None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1}', "null", "\x00\xff"])
def test_a_spoiled_record_is_no_record(project_root: Path, text: str) -> None:
    record = project_root / "mlflow.json"
    record.write_text(text, encoding="latin-1")
    assert processes.recall(record, project_root) is None
    assert processes.recall(project_root / "none.json", project_root) is None


def test_a_long_log_is_set_aside(
    project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_LOG_LIMIT", 10)
    log = tmp_path / "logs" / "mlflow.log"
    for word in ("first-line", "second"):
        command = [sys.executable, "-c", f"print('{word}')"]
        processes.spawn(command, os.environ, project_root, "mlflow", log).wait()
    assert log.read_text() == "second\n"
    assert log.with_suffix(".old.log").read_text() == "first-line\n"


def test_sockets_go_with_their_service_but_not_those_of_others(project_root: Path) -> None:
    record = project_root / "record.json"
    with TemporaryDirectory() as folder:  # a short path
        mine, other = Path(folder, "mine.sock"), Path(folder, "file.sock")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(mine))
        other.touch()  # no socket
        command = [sys.executable, "-c", ""]
        process = processes.spawn(command, os.environ, project_root, "x", project_root / "log")
        gone = Path(folder, "gone.sock")
        processes.remember(record, process, project_root, [mine, other, gone])
        process.wait()
        leader = processes.recall(record, project_root)
        assert leader
        processes.remove_sockets(leader)
        assert list(Path(folder).iterdir()) == [other]


def test_what_needs_longer_to_end_may_use_the_others_meanwhile(project_root: Path) -> None:
    families = Families(project_root)
    (project_root / "ready").mkdir()

    def start(name: str, at_its_end: str) -> None:
        script = f"trap '{at_its_end}; exit' TERM; touch ready/{name}; sleep 60 & wait"
        command = ["/bin/sh", "-c", script]
        started = processes.spawn(command, os.environ, project_root, name, project_root / "log")
        families.record(name).parent.mkdir(parents=True, exist_ok=True)
        processes.remember(families.record(name), started, project_root)

    start("object-store", "touch closed")
    start("serving", "sleep 1; test -e closed || touch stored")
    deadline = time.monotonic() + 20
    while len(list((project_root / "ready").iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    stopped = families.stop({"object-store": 10.0, "serving": 20.0}, lambda *_: None)
    assert sorted(stopped) == ["object-store", "serving"]
    assert {"closed", "stored"} <= {file.name for file in project_root.iterdir()}


def test_a_service_whose_file_is_gone_is_ended_too(project_root: Path) -> None:
    families = Families(project_root)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    service = processes.spawn(command, os.environ, project_root, "dashboard", project_root / "log")
    families.record("dashboard").parent.mkdir(parents=True, exist_ok=True)
    processes.remember(families.record("dashboard"), service, project_root)
    every = [one for one in local.all_services(project_root) if not one.oneshot]
    assert local.stop(project_root, every[1:], lambda *_: None) == []
    assert local.stop(project_root, every, lambda *_: None) == ["dashboard"]
    assert service.wait(60) == -signal.SIGTERM
    assert not families.recorded()
