"""Let a command outlive the service that it was called in, as in a terminal of JupyterLab.

To stop that service ends all that descends from it or carries its mark, which the command does
too. So it goes on in a process that has nothing to do with the service, and is only watched here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from gaiaflow import environments
from gaiaflow.processes import MARKS, PROJECT_MARK, SERVICE_MARK, recall

_POLL = 0.1
_OWNER_ONLY = 0o600  # a table of services says how to log in


def surrounding_service(root: Path) -> str | None:
    """The service of a project in which this process runs, if it runs in one."""
    if os.environ.get(PROJECT_MARK) == str(root):
        return os.environ.get(SERVICE_MARK)
    ancestors = {process.pid for process in psutil.Process().parents()}
    for record in (root / ".gaiaflow" / "run").glob("*.json"):
        leader = recall(record, root)
        if leader and leader.pid in ancestors and leader.process:
            return record.stem
    return None


def log_of(root: Path) -> Path:
    """Where the output of a detached command is."""
    return root / ".gaiaflow" / "detached.log"


def run(root: Path, arguments: Sequence[str]) -> int:
    """Run a command of the manager in a process of its own; show what it says while we live.

    Returns:
        Its exit code.
    """
    log = log_of(root)
    log.unlink(missing_ok=True)
    ours, theirs = os.pipe()
    env = {name: value for name, value in environments.clean_env().items() if name not in MARKS}
    command = [sys.executable, "-m", "gaiaflow.detached", str(theirs), *arguments]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT, _OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as output:
        subprocess.run(
            command,
            cwd=root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[theirs],
            start_new_session=True,
            check=True,
        )
    os.close(theirs)
    os.set_blocking(ours, False)
    with log.open("rb") as output, os.fdopen(ours, "rb") as answer:
        while True:
            code = answer.read()  # None while it runs
            sys.stderr.buffer.write(output.read())
            sys.stderr.flush()
            if code is not None:
                return int(code or 1)  # nothing: somebody killed it
            time.sleep(_POLL)


def _main() -> None:
    answer, *arguments = sys.argv[1:]
    if os.fork():
        return  # so that the child is nobody's: to find it by its ancestors is impossible
    manager = Path(__file__).resolve().parent.parent / "mlops_manager.py"
    code = subprocess.run([sys.executable, str(manager), *arguments], check=False).returncode
    os.write(int(answer), str(code).encode())


if __name__ == "__main__":
    _main()
