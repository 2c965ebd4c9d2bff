"""Print findings, for people or scripts."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from gaiaflow import doctor
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding

_MARKS = {OK: ("✓", "green"), WARNING: ("!", "yellow"), PROBLEM: ("✗", "bold red")}


def report(root: Path, as_json: bool = False) -> int:
    """Examine a project and print the findings; the exit code is 1 if something is red."""
    subject = doctor.examine(root)
    if as_json:
        found = list(doctor.diagnose(subject))
        _print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        found = show(doctor.diagnose(subject, _say_waiting))
    return int(any(finding.level == PROBLEM for finding in found))


def show(findings: Iterable[Finding]) -> list[Finding]:
    """Print findings for people, each as soon as it is there, and how many there are."""
    found = []
    for finding in findings:
        found.append(finding)
        mark, style = _MARKS[finding.level]
        _print(f"{mark} {finding.check:<20} {finding.found}", style)
        for line in finding.fix.splitlines():
            _print(f"    {line}")
    counts = {level: sum(finding.level == level for finding in found) for level in _MARKS}
    _print(f"\n{counts[OK]} ok, {counts[WARNING]} to look at, {counts[PROBLEM]} to fix.")
    return found


def main(root: Path, arguments: Sequence[str]) -> int:
    """Run `doctor` without plumbum, before Airflow's environment exists."""
    parser = argparse.ArgumentParser(
        prog="python3 mlops_manager.py doctor",
        description="Check this machine and this project, and suggest fixes.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    as_json = parser.parse_args(arguments).json
    try:
        return report(root, as_json)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader closed the pipe; don't fail again when flushing at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _say_waiting() -> None:
    sys.stderr.write("waiting for a slow program\n")
    sys.stderr.flush()


def _print(text: str, style: str = "") -> None:
    """Print a line without wrapping because people paste it; in colour if rich is installed."""
    try:
        from rich.text import Text

        from gaiaflow import console
    except ImportError:
        _print_plainly(text)
    else:
        console.out.print(Text(text, style), soft_wrap=True)


def _print_plainly(text: str) -> None:
    """Print a line without rich; if the terminal can't show ✓, print a question mark."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
