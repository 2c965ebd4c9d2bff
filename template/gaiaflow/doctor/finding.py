"""The result of a check: one line, and a fix unless it is green."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    `level` is ok (green), warning (yellow: works, or is not needed here, but look at it) or
    problem (red: something will fail). `fix` is for a shell of this operating system: each line is
    a command to paste, or a comment that begins with #.
    """

    check: str
    level: str
    found: str
    fix: str = ""
