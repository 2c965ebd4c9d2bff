"""Check WSL, Linux in Windows."""

from __future__ import annotations

import re
import shlex

from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.doctor.subject import Subject
from gaiaflow.doctor.system import WSL1


def wsl_version(subject: Subject) -> Finding | None:
    """Check for WSL2: it has a Linux kernel, which WSL1 only imitates."""
    if not subject.system.is_wsl:
        return None
    if subject.system.kind == WSL1:
        name = shlex.quote(subject.environ.get("WSL_DISTRO_NAME", "Ubuntu"))
        fix = f"# Close this terminal, then run in PowerShell: wsl --set-version {name} 2"
        return Finding("wsl-version", PROBLEM, "this is WSL1: Docker and file locks fail", fix)
    return Finding("wsl-version", OK, "WSL2")


def wsl_folder(subject: Subject) -> Finding | None:
    """Check that the project is not in a Windows folder: slow, and .env would be readable."""
    if not subject.system.is_wsl:
        return None
    if not re.match(r"/mnt/[a-z](/|$)", str(subject.root)):
        return Finding("wsl-folder", OK, "in Linux's own file system")
    root = shlex.quote(str(subject.root))
    fix = (
        f"python3 mlops_manager.py stop\ncp -r {root} ~/ && cd ~/{shlex.quote(subject.root.name)}\n"
        "rm -rf .gaiaflow/airflow .venv .pixi .conda    # the next start creates them again"
    )
    found = f"{subject.root} is a Windows folder: slow, and without permissions"
    return Finding("wsl-folder", WARNING, found, fix)
