"""Which code runs: the commit of the project, and whether files differ from it.

The commit is found without git, which containers lack. Standard library only.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from gaiaflow.project import inherited, variables

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_PATIENCE = 10.0  # seconds for git, in a large repository or on a slow disk


def state(root: Path) -> dict[str, str]:
    """The variables that tell tasks, MLflow and products which code runs.

    A value is empty if it isn't known: without a repository, or if git can't tell.
    """
    found = commit(root)
    dirty = is_dirty(root) if found else None
    return {variables.COMMIT: found, variables.DIRTY: "" if dirty is None else str(dirty).lower()}


def is_dirty(root: Path) -> bool | None:
    """Whether files of the project differ from the commit, or are not in it and not ignored.

    None if git can't tell: it is not installed, refuses the folder, or takes too long.
    """
    # Without locks: git would else write its index while somebody commits.
    command = ("git", "--no-optional-locks", "status", "--porcelain", "--", ".")
    env = inherited.clean(os.environ)  # a git hook's variables describe another repository
    try:
        done = subprocess.run(
            command, cwd=root, env=env, capture_output=True, timeout=_PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return bool(done.stdout.strip())


def commit(root: Path) -> str:
    """The commit that is checked out in the project; empty if none is found."""
    try:
        folder = next(found for top in (root, *root.parents) if (found := top / ".git").exists())
        if folder.is_file():  # in a worktree: "gitdir: PATH"
            folder = folder.parent / folder.read_text(encoding="utf-8").partition(":")[2].strip()
        head = _line(folder / "HEAD")
        if head.startswith("ref: "):
            head = _resolve(folder, head.removeprefix("ref: "))
    except (OSError, StopIteration, UnicodeDecodeError):
        return ""
    return head if _COMMIT.fullmatch(head) else ""


def _resolve(folder: Path, name: str) -> str:
    shared = folder / "commondir"  # branches of a worktree are there
    common = folder / _line(shared) if shared.exists() else folder
    if (common / name).exists():
        return _line(common / name)
    for line in (common / "packed-refs").read_text(encoding="utf-8").splitlines():
        found, _, known = line.partition(" ")
        if known == name:
            return found
    return ""


def _line(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()
