"""Long-running processes of a project: spawn them, find their families, stop them.

Airflow's processes leave their group and session, and a crash leaves orphans. So a family consists
of the leader's descendants, the members of its session, and all processes with the project's mark
in their environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import psutil
from plumbum import local

from gaiaflow.project import inherited, variables

# setproctitle would wipe the environment that /proc shows, and our marks with it.
_KEEP_MARKS = "SPT_NOENV"
MARKS = (variables.PROJECT, variables.SERVICE, _KEEP_MARKS)

_LOG_LIMIT = 10_000_000  # bytes; a larger log is rotated at the next start


@dataclass(frozen=True)
class Leader:
    """The process that a service was started as. The pid alone could have been reused.

    `sockets` are the paths of the sockets that it creates outside the project.
    """

    pid: int
    create_time: float
    root: str
    sockets: Sequence[str] = ()

    @property
    def process(self) -> psutil.Process | None:
        """The process, if it is still running."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) < 1.0
        except psutil.NoSuchProcess:
            return None
        return process if same and _runs(process) else None


def spawn(
    command: Sequence[str], env: Mapping[str, str], root: Path, service: str, log: Path
) -> subprocess.Popen[str]:
    """Start a process in a new session, which the terminal's Ctrl-C does not reach."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".old.log"))
    marks = {
        variables.PROJECT: str(root),
        variables.SERVICE: service,
        _KEEP_MARKS: "1",
        **inherited.PYTHON,
    }
    with log.open("ab") as output:
        process = local[command[0]][list(command[1:])].popen(
            cwd=str(root),
            env={**env, **marks},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return cast("subprocess.Popen[str]", process)


def remember(
    record: Path, process: subprocess.Popen[str], root: Path, sockets: Iterable[Path] = ()
) -> None:
    """Record the leader of a service."""
    record.parent.mkdir(parents=True, exist_ok=True)
    created = psutil.Process(process.pid).create_time()
    leader = asdict(Leader(process.pid, created, str(root), [str(path) for path in sockets]))
    # The name of 0.4, which reads this after `update --abort`.
    leader["born"] = leader.pop("create_time")
    record.write_text(json.dumps(leader), encoding="utf-8")


def recall(record: Path, root: Path) -> Leader | None:
    """Read a service's leader. None if there is none, or if it leads the original of this copy."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        found["create_time"] = found.pop("born")
        leader = Leader(**found)
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None
    if leader.root != str(root) and Path(leader.root, "mlops_manager.py").exists():
        return None
    return leader


def remove_sockets(leader: Leader) -> None:
    """Remove the sockets that a killed leader has left, unless another user owns them by now."""
    for path in map(Path, leader.sockets):
        with contextlib.suppress(OSError):
            if path.is_socket() and path.stat().st_uid == os.geteuid():
                path.unlink()


def families(root: Path, leaders: Mapping[str, Leader | None]) -> dict[str, list[psutil.Process]]:
    """Find all running processes of each service, the leader first."""
    found: dict[str, dict[int, psutil.Process]] = {service: {} for service in leaders}
    sessions: dict[int, str] = {}
    for service, leader in leaders.items():
        if leader is None:
            continue
        sessions[leader.pid] = service
        if process := leader.process:
            found[service][process.pid] = process
            for child in _children(process):
                found[service][child.pid] = child
    own = psutil.Process()
    for process in psutil.process_iter():
        if process == own or not _runs(process):
            continue
        marks = _marks(process)
        if marks.get(variables.PROJECT) == str(root):
            service = marks.get(variables.SERVICE, "")
        else:
            service = sessions.get(_session(process), "")
            leader = leaders.get(service)
            if not service or leader is None or _create_time(process) < leader.create_time - 1:
                continue
        if service in found:
            found[service].setdefault(process.pid, process)
    return {service: list(members.values()) for service, members in found.items()}


def terminate(members: Iterable[psutil.Process], grace: float) -> list[psutil.Process]:
    """Ask processes to end, wait, and kill the rest. Return those that are still running."""
    members = list(members)
    for process in members:
        _signal(process, kill=False)
    rest = _wait(members, grace)
    for process in rest:
        _signal(process, kill=True)
    return _wait(rest, 3.0)


def _wait(members: list[psutil.Process], limit: float) -> list[psutil.Process]:
    deadline = time.monotonic() + limit
    while members := [process for process in members if _runs(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return members


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [child for child in process.children(recursive=True) if _runs(child)]
    except psutil.Error:
        return []


def _create_time(process: psutil.Process) -> float:
    try:
        return process.create_time()
    except psutil.Error:  # it has just ended
        return 0.0


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except OSError:
        return -1


def _marks(process: psutil.Process) -> Mapping[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):  # it is another user's, or has ended
        return {}


def _signal(process: psutil.Process, kill: bool) -> None:
    with contextlib.suppress(psutil.Error):
        process.kill() if kill else process.terminate()
