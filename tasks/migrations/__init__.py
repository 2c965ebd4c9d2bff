"""Carry a project's edits along when a release moves, renames, splits or drops something.

Such a release has a file `vX_Y_Z.py` here with a list of steps, `MIGRATION`. Steps on files apply
equally to the project and to the old release as generated. A user's edit therefore stays the same
edit, in its new place, and merges with the new release. For an example, see docs/how-to/
write-a-migration.md.

A migration is due if the release that a project comes from lacks its file. This also works for
commits without a tag.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from plumbum import local

from tasks.migrations.steps import (
    DroppedQuestion,
    DroppedSetting,
    Joined,
    Moved,
    RenamedChoice,
    RenamedImport,
    RenamedQuestion,
    RenamedSetting,
    Split,
    Step,
)

__all__ = [
    "DroppedQuestion",
    "DroppedSetting",
    "Joined",
    "Moved",
    "RenamedChoice",
    "RenamedImport",
    "RenamedQuestion",
    "RenamedSetting",
    "Split",
    "Step",
    "due",
]

_NAME = re.compile(r"v(\d+)_(\d+)_(\d+)\.py")


def due(source: Path, ref: str) -> list[Step]:
    """The steps that a project of this release needs, in release order.

    Args:
        source: the new release, a git repository that is checked out.
        ref: the commit or tag that the project comes from.
    """
    listed = local["git"]["-C", str(source), "ls-tree", "--name-only", ref, "tasks/migrations/"]
    known = {Path(line).name for line in listed().splitlines()}
    folder = source / "tasks" / "migrations"
    pending = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    pending = [path for path in pending if path.name not in known]
    return [step for path in sorted(pending, key=_version) for step in load(path)]


def load(path: Path) -> Sequence[Step]:
    """The steps of one file."""
    spec = importlib.util.spec_from_file_location(f"gaiaflow_migration_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    steps: Sequence[Step] = module.MIGRATION
    return steps


def of_kind(steps: Iterable[Step], *kinds: type) -> list[Step]:
    """The steps of these kinds."""
    return [step for step in steps if isinstance(step, kinds)]


def _version(path: Path) -> tuple[int, ...]:
    match = _NAME.fullmatch(path.name)
    return tuple(map(int, match.groups())) if match else ()
