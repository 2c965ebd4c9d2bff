"""Call commands of the manager in this environment, which has what they need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

RUN = "from gaiaflow.cli.mlops import main; main()"


def command(root: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    environ = {**os.environ, "PYTHONPATH": str(root), "TERM": "dumb"}
    return [sys.executable, "-B", "-c", RUN, *arguments], environ


def manage(
    root: Path, *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    line, environ = command(root, *arguments)
    return subprocess.run(
        line,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
