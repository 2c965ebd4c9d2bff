"""Files of a project as they are in another commit."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gaiaflow.backends.base import no_interrupts
from gaiaflow.project.paths import StateFolder
from gaiaflow.release.git import Git


@contextlib.contextmanager
def checked_out(root: Path, git: Git, commit: str) -> Iterator[Path]:
    """The project's folder as it is in a commit, in a worktree that is removed afterwards.

    Args:
        root: the project.
        git: git there.
        commit: its name, or that of a tag.
    """
    state = StateFolder(root).path
    state.mkdir(exist_ok=True)
    # Not in /tmp: Docker may be unable to read that, or it may be too small.
    with tempfile.TemporaryDirectory(dir=state, prefix="release-") as parent:
        worktree = Path(parent, root.name)
        try:
            git.run("worktree", "add", "--quiet", "--detach", str(worktree), commit)
            yield worktree / git.prefix()
        finally:
            with no_interrupts():
                git.succeeds("worktree", "remove", "--force", str(worktree))
