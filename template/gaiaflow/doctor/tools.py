"""Check Python, the environments, the programs that create them, and git."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.doctor.programs import Programs
from gaiaflow.doctor.subject import Subject
from gaiaflow.project import environments
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.paths import StateFolder
from gaiaflow.project.programs import uv_folders

_OLDEST_GIT = (2, 27)  # what `copier update` needs

_IMPORTS = ("-I", "-c", "import plumbum, psutil, rich")  # what the managers need

_UV = "curl -LsSf https://astral.sh/uv/install.sh | sh    # or: pip install uv"
_INSTALL = {
    "pixi": "curl -fsSL https://pixi.sh/install.sh | sh",
    "conda": "# Install Miniforge, which brings conda and mamba: https://conda-forge.org/download",
}


def version(text: str) -> tuple[int, ...]:
    """The first version number in a text as integers; empty if there is none."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def python(subject: Subject) -> Finding:
    """Check that `python3 mlops_manager.py` finds a Python that can run it."""
    answer = subject.programs.ask("python3", "-V")
    path = subject.programs.find("python3")
    said = answer.out + answer.err  # Python 2 prints it to standard error
    here = ".".join(map(str, sys.version_info[:3]))
    fix = "\n".join(
        [
            subject.system.install("python3"),
            "# If that is too old, install one with uv:",
            "uv python install 3.13",
            "# Or use the Python that runs this:",
            f"{shlex.quote(sys.executable)} mlops_manager.py status",
        ]
    )
    if path is None:
        found = f"no python3 on PATH; {sys.executable} ({here}) runs this"
        return Finding("python", WARNING, found, fix)
    if version(said) < environments.OLDEST:
        found = f"python3 is {path}, {said.strip() or 'broken'}; 3.11 or newer is needed"
        return Finding("python", WARNING, found, fix)
    return Finding("python", OK, f"{said.strip()}, {path}")


def airflow_works(root: Path, programs: Programs) -> bool:
    """Whether Airflow's environment matches its lock and can run the managers."""
    python = StateFolder(root).airflow_python
    fresh = environments.airflow_stamp(root).is_fresh()
    return fresh and programs.ask(str(python), *_IMPORTS).code == 0


def airflow_environment(subject: Subject) -> Finding:
    """Check Airflow's environment, in which all commands run."""
    check = "airflow-environment"
    python = StateFolder(subject.root).airflow_python
    folder = StateFolder(subject.root).airflow.relative_to(subject.root)
    if airflow_works(subject.root, subject.programs):
        return Finding(check, OK, f"in {folder}")
    again = (
        f"rm -r {folder}    # your data is elsewhere\n"
        "python3 mlops_manager.py status    # creates it again"
    )
    if python.is_symlink() and not python.exists():
        gone = f"its Python is gone ({os.path.realpath(python)})"
        return Finding(check, WARNING, f"{gone}; the next command creates it again", again)
    if not python.exists():
        return Finding(check, OK, "not created yet: the first command does so (150 MB to download)")
    answer = subject.programs.ask(str(python), *_IMPORTS)
    if answer.code and StateFolder(subject.root).airflow_stamp.exists():
        return Finding(check, PROBLEM, f"damaged: {answer.complaint}", again)
    if answer.code:
        return Finding(check, WARNING, "not finished: the next command continues", again)
    return Finding(check, OK, "older than its lock: the next command updates it")


def uv(subject: Subject) -> Finding:
    """Check uv, which creates Airflow's environment and, in uv projects, the project's."""
    path = subject.programs.find("uv", *uv_folders(subject.root))
    if subject.identity.get("environment_manager") == "uv":
        try:
            environments.check_workspace(subject.root)
        except GaiaflowError as error:
            what, _, advice = str(error).partition("\n")
            fix = "\n".join(f"# {line.strip()}" for line in advice.splitlines())
            return Finding("uv", PROBLEM, what, fix)
    if path:
        return Finding("uv", OK, path)
    made = airflow_works(subject.root, subject.programs)
    needed = subject.identity.get("environment_manager") == "uv" or not made
    found = "uv was not found; it creates Airflow's environment"
    return Finding("uv", PROBLEM if needed else WARNING, found, _UV)


def environment_manager(subject: Subject) -> Finding | None:
    """Check pixi or conda, if it creates the project's environment."""
    check = "environment-manager"
    name = subject.identity.get("environment_manager")
    if name not in _INSTALL:
        return None
    path = subject.programs.find(name)
    if name == "conda":
        path = subject.programs.find("mamba") or path
    if path:
        return Finding(check, OK, path)
    fix = f"{_INSTALL[name]}\n# Then open a new terminal."
    found = f"{name} was not found; it creates the project's environment"
    return Finding(check, PROBLEM, found, fix)


def git(subject: Subject) -> Finding:
    """Check that git is recent enough for `copier update` and works in this folder."""
    answer = subject.programs.ask("git", "--version")
    fix = subject.system.install("git")
    if answer.code:
        return Finding("git", PROBLEM, f"git does not run: {answer.complaint}", fix)
    if version(answer.out) < _OLDEST_GIT:
        old = f"{answer.out.strip()}: `copier update` needs 2.27 or newer"
        return Finding("git", WARNING, old, fix)
    here = subject.programs.ask("git", "-C", str(subject.root), "rev-parse", "--git-dir")
    if "dubious ownership" in here.err:
        fix = "# See file-owner. If the folder is shared on purpose:\n" + shlex.join(
            ["git", "config", "--global", "--add", "safe.directory", str(subject.root)]
        )
        return Finding("git", WARNING, "git refuses to run: another user owns the folder", fix)
    if here.code:
        root = shlex.quote(str(subject.root))
        fix = f"cd {root} && git init && git add --all && git commit -m 'First commit'"
        found = f"{answer.out.strip()}, but the project is not in a repository: updates need one"
        return Finding("git", WARNING, found, fix)
    return Finding("git", OK, answer.out.strip())
