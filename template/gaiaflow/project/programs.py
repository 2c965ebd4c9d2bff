"""Find and run the programs that the framework needs, such as uv.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gaiaflow.project import inherited
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.paths import ROOT, StateFolder


def say(text: str) -> None:
    """Report progress on standard error; standard output is for results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def clean_env() -> dict[str, str]:
    """This process's environment variables without those meant for other projects."""
    return inherited.clean(os.environ)


def run(
    command: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Run a program and show its output, except for all but the last line of tracebacks.

    Raises:
        GaiaflowError: it failed; the message contains the command.
    """
    listing = re.compile(rb" [+~-] ")  # uv's list of all packages, longer than a screen
    always = {"CONDA_ALWAYS_YES": "true", "MAMBA_ALWAYS_YES": "true"}
    with subprocess.Popen(
        list(command),
        cwd=cwd,
        env={**clean_env(), **always, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        in_traceback = False
        try:
            for line in process.stdout or ():
                begins = line.startswith(b"Traceback (most recent call last)")
                in_traceback = begins or (in_traceback and line[:1] in {b" ", b"\n"})
                if not in_traceback and not listing.match(line):
                    sys.stderr.buffer.write(line)
                    sys.stderr.flush()
        except KeyboardInterrupt:
            process.wait()  # it was interrupted too, and may be cleaning up
            raise
    if process.returncode:
        shown = " ".join([Path(command[0]).name, *command[1:]])
        raise GaiaflowError(
            f"This failed with exit code {process.returncode}; its output is above:\n  {shown}\n"
            "Check the network and free disk space, then try again."
        )


def find(program: str, install: str, *folders: Path) -> str:
    """Find a program on PATH, or else in one of these folders.

    Raises:
        GaiaflowError: it was not found; the message says how to `install` it.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, folders)])
    found = shutil.which(program, path=path)
    if not found:
        raise GaiaflowError(f"{program} was not found. Install it ({install}), then try again.")
    return found


def find_uv() -> str:
    """Find uv on PATH, or else in one of its usual folders.

    Raises:
        GaiaflowError: it was not found.
    """
    return find("uv", "`pip install uv`, or see https://docs.astral.sh/uv", *uv_folders(ROOT))


def uv_folders(root: Path) -> list[Path]:
    """Folders that may contain uv when it is not on PATH."""
    home = Path(os.environ.get("HOME", "/"))
    state = StateFolder(root)
    try:
        remembered = list(map(Path, state.uv.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError):
        remembered = []
    return [
        Path(sys.executable).parent,
        *remembered,
        home / ".gaiaflow" / "bin",  # the README's first command puts it there
        home / ".local" / "bin",
        home / ".cargo" / "bin",
        state.airflow_python.parent,
    ]


def remember_uv(root: Path) -> None:
    """Record uv's folder for later commands that run in a different Python."""
    with contextlib.suppress(GaiaflowError, OSError):
        folder = Path(find_uv()).parent
        record = StateFolder(root).uv
        record.parent.mkdir(exist_ok=True)
        record.write_text(f"{folder}\n", encoding="utf-8")
