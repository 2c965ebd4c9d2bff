"""Show what was found, to a person or to a script."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gaiaflow import doctor
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING

_MARKS = {OK: ("✓", "green"), WARNING: ("!", "yellow"), PROBLEM: ("✗", "bold red")}


def report(root: Path, as_json: bool = False) -> int:
    """Examine a project and print the findings. The exit code: 1 if something is red, else 0."""
    subject = doctor.examine(root)
    if as_json:
        found = list(doctor.diagnose(subject))
        _print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        found = []
        for finding in doctor.diagnose(subject, _say_waiting):
            found.append(finding)
            mark, style = _MARKS[finding.level]
            _print(f"{mark} {finding.check:<20} {finding.found}", style)
            for line in finding.fix.splitlines():
                _print(f"    {line}")
        counts = {level: sum(finding.level == level for finding in found) for level in _MARKS}
        _print(f"\n{counts[OK]} ok, {counts[WARNING]} to look at, {counts[PROBLEM]} to mend.")
    return int(any(finding.level == PROBLEM for finding in found))


def main(root: Path, arguments: Sequence[str]) -> int:
    """The same command where there is no plumbum: before Airflow's environment is made."""
    parser = argparse.ArgumentParser(
        prog="python3 mlops_manager.py doctor",
        description="Check this machine and this project, and say what mends what is wrong.",
    )
    parser.add_argument("--json", action="store_true", help="print a list for a script instead")
    as_json = parser.parse_args(arguments).json
    try:
        return report(root, as_json)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has seen enough; nothing more can be written, nor flushed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _say_waiting() -> None:
    sys.stderr.write("waiting for a program that is slow to answer\n")
    sys.stderr.flush()


def _print(text: str, style: str = "") -> None:
    """Print a line, unbroken, because people paste it; in colour, if rich is there."""
    try:
        from rich.text import Text

        from gaiaflow import console
    except ImportError:
        _print_plainly(text)
    else:
        console.out.print(Text(text, style), soft_wrap=True)


def _print_plainly(text: str) -> None:
    """Print a line to whatever is there; where a terminal knows no ✓, with a question mark."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
