"""The template that a project comes from: its repository, and the Copier that can render it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

from gaiaflow.project import programs, variables
from gaiaflow.project.errors import GaiaflowError

ANSWERS = ".copier-answers.yml"

_NEEDED = ("copier", "copier_template_extensions", "jinja2_time", "plumbum")
_HOSTS = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/"}


def origin(root: Path) -> tuple[str, str]:
    """The template's repository, in git's notation, and the project's release.

    Raises:
        GaiaflowError: the answers file is missing or incomplete.
    """
    path = root / ANSWERS
    try:
        # The base loader leaves every value a string: 0.10 must not become a number.
        found = yaml.load(path.read_bytes(), Loader=yaml.BaseLoader) if path.is_file() else {}
        source, commit = str(found["_src_path"]), str(found["_commit"])
    except (yaml.YAMLError, LookupError, TypeError):
        raise GaiaflowError(
            "`.copier-answers.yml` does not name this project's template and release.\n"
            "Find a complete version in git: git log --oneline -- .copier-answers.yml"
        ) from None
    source = source.removeprefix("git+")
    for short, host in _HOSTS.items():
        if source.startswith(short):
            source = f"{host}{source.removeprefix(short)}.git"
    if source.startswith("~"):
        source = str(Path(source).expanduser())
    if ":" not in source and not Path(source).is_absolute():
        raise GaiaflowError(
            f"`.copier-answers.yml` names the template {source}, which depends on the folder in "
            "which the project was generated.\n"
            "Set `_src_path:` in it to the template's URL or full path, and commit that."
        )
    return source, commit


def copier(source: str) -> list[str]:
    """The command that runs Copier with everything that the template needs.

    Raises:
        GaiaflowError: Copier is missing, and so is uv, which could fetch it.
    """
    for python in _pythons():
        question = (
            f"import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, {_NEEDED})))"
        )
        asked = [str(python), "-c", question]
        env = programs.clean_env()
        if python.is_file() and subprocess.run(asked, env=env, check=False).returncode == 0:
            return [str(python), "-m", "copier"]
    package = requirement(source)
    try:
        return [programs.find_uv(), "tool", "run", "--from", package, "copier"]
    except GaiaflowError:
        raise GaiaflowError(
            "Copier was not found. Install it with everything that the template needs:\n"
            f"    python3 -m venv ~/.gaiaflow && ~/.gaiaflow/bin/pip install '{package}'"
        ) from None


def requirement(source: str) -> str:
    """The template as a package that pip and uv can install."""
    if Path(source).is_dir():
        return source
    if ":" in source and "://" not in source:  # git's short form of SSH, which only git knows
        host, _, path = source.partition(":")
        source = f"ssh://{host}/{path.lstrip('/')}"
    return f"git+{source}"


def copier_env() -> dict[str, str]:
    """The variables for Copier: the update's summary then does not ask for --continue."""
    number = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    return {
        variables.UPDATE: "1",
        "GIT_CONFIG_COUNT": str(number + 1),
        f"GIT_CONFIG_KEY_{number}": "core.hooksPath",  # the user's hooks are not for templates
        f"GIT_CONFIG_VALUE_{number}": os.devnull,
    }


def _pythons() -> Iterator[Path]:
    """The interpreters that may have Copier: the README's, and the one of `copier` on PATH."""
    yield Path.home() / ".gaiaflow" / "bin" / "python"
    if found := shutil.which("copier"):
        script = Path(found).resolve()
        with script.open("rb") as file:
            first = file.readline().decode(errors="replace").strip()
        yield Path(first.removeprefix("#!")) if "python" in first else script.parent / "python"
        yield script.parent / "python"
