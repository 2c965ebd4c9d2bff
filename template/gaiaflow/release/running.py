"""Run a program to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plumbum.commands.base import BaseCommand


@dataclass(frozen=True)
class Done:
    """A program that has ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str


def run(command: BaseCommand, stdin: str = "") -> Done:
    """Run a program and wait for it. If this process is interrupted, the program ends first."""
    process: Any = command.popen()
    try:
        out, err = process.communicate(stdin.encode())
    except BaseException:
        process.terminate()
        process.wait()
        raise
    return Done(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
