"""Find the commit of the project's code without git, which containers lack.

Standard library only.
"""

from __future__ import annotations

import re
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


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
