"""The subject of the checks: a project on a machine, as far as it can be read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaiaflow.doctor.programs import Programs
from gaiaflow.doctor.system import System
from gaiaflow.doctor.system import read as read_system
from gaiaflow.project import envfile
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_toml


@dataclass(frozen=True)
class Subject:
    """A project on a machine. What can't be read is empty; one check reports it, others go on.

    `identity` is `[tool.gaiaflow]` of pyproject.toml, `env` is `.env`, `environ` the environment
    variables of the user's shell.
    """

    root: Path
    identity: Mapping[str, Any]
    env: Mapping[str, str]
    environ: Mapping[str, str]
    system: System
    programs: Programs


def examine(
    root: Path,
    environ: Mapping[str, str] | None = None,
    top: Path = Path("/"),
    limit: float = 5.0,
) -> Subject:
    """Read what can be read of a project, without changing or raising anything.

    `limit` is the time in seconds that programs get to answer.
    """
    environ = os.environ if environ is None else environ
    return Subject(
        root=root,
        identity=_identity(root),
        env=_env(root),
        environ=environ,
        system=read_system(top),
        programs=Programs(environ, limit),
    )


def _identity(root: Path) -> Mapping[str, Any]:
    try:
        table = read_toml(root / "pyproject.toml")["tool"]["gaiaflow"]
    except (GaiaflowError, OSError, KeyError, TypeError):
        return {}
    return table if isinstance(table, dict) else {}


def _env(root: Path) -> Mapping[str, str]:
    try:
        return envfile.read(root / ".env")
    except (GaiaflowError, OSError):
        return {}
