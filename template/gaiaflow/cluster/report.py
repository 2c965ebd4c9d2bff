"""Examine a stage, and print what was found, for people or scripts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from gaiaflow import cluster, console
from gaiaflow.cluster.subject import examine
from gaiaflow.doctor.finding import PROBLEM
from gaiaflow.doctor.report import show
from gaiaflow.project import programs


def report(root: Path, stage: str, as_json: bool) -> int:
    """Examine a stage and print the findings; the exit code is 1 if something is red.

    Raises:
        GaiaflowError: the project has nothing for a cluster.
    """
    with examine(root, stage, programs.say) as subject:
        findings = cluster.diagnose(subject)
        found = list(findings) if as_json else show(findings)
    if as_json:
        console.print_json([asdict(finding) for finding in found])
    return int(any(finding.level == PROBLEM for finding in found))
