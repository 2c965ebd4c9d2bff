"""Let a command outlive the service that it was called in, such as in a JupyterLab terminal.

Stopping a service ends its descendants and all processes that carry its mark, which include the
command. So the command runs in an unrelated process, and this one only shows its output.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from gaiaflow.backends.processes import MARKS, recall
from gaiaflow.project import programs, variables
from gaiaflow.project.paths import ROOT, StateFolder

_POLL = 0.1
_OWNER_ONLY = 0o600  # the table of services shows passwords


def surrounding_service(root: Path) -> str | None:
    """The project's service in which this process runs, if any."""
    if os.environ.get(variables.PROJECT) == str(root):
        return os.environ.get(variables.SERVICE)
    ancestors = {process.pid for process in psutil.Process().parents()}
    for record in StateFolder(root).run.glob("*.json"):
        leader = recall(record, root)
        if leader and leader.pid in ancestors and leader.process:
            return record.stem
    return None


def log_of(root: Path) -> Path:
    """The file that receives the output of a detached command."""
    return StateFolder(root).detached_log


def run(root: Path, arguments: Sequence[str]) -> int:
    """Run a manager's command in a detached process; show its output while this one lives.

    Returns:
        Its exit code.
    """
    log = log_of(root)
    log.unlink(missing_ok=True)
    ours, theirs = os.pipe()
    env = {name: value for name, value in programs.clean_env().items() if name not in MARKS}
    command = [sys.executable, "-m", "gaiaflow.cli.detached", str(theirs), *arguments]
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
                return int(code or 1)  # empty: it was killed
            time.sleep(_POLL)


def _main() -> None:
    answer, *arguments = sys.argv[1:]
    if os.fork():
        return  # this orphans the child, and nothing finds it by its ancestors
    manager = ROOT / "mlops_manager.py"
    code = subprocess.run([sys.executable, str(manager), *arguments], check=False).returncode
    os.write(int(answer), str(code).encode())


if __name__ == "__main__":
    _main()
