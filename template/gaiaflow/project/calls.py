"""What functions were called with when they last ran as tasks of mode `dev`.

A file for each function, written by its task. Standard library only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gaiaflow.project.paths import StateFolder


@dataclass(frozen=True)
class Call:
    """A call of a function by a task."""

    arguments: Mapping[str, Any]
    env: Mapping[str, str]  # the task's own variables
    dag_id: str
    run_id: str
    task_id: str


def remember(root: Path, function: str, call: Call) -> None:
    """Keep a call instead of the one before."""
    file = _file(root, function)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(asdict(call)), encoding="utf-8")
    part.replace(file)


def recall(root: Path, function: str) -> Call | None:
    """The last call of a function; None if there was none on this computer."""
    try:
        return Call(**json.loads(_file(root, function).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def known(root: Path) -> list[str]:
    """The functions that have run."""
    files = StateFolder(root).calls.glob("*.json")
    return sorted(file.stem.replace("-", ":") for file in files)


def _file(root: Path, function: str) -> Path:
    return StateFolder(root).calls / f"{function.replace(':', '-')}.json"
