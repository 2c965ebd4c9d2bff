"""The branches that Airflow tracks: `deploy/staging` and `deploy/prod`.

A commit on `deploy/staging` is a release's tag plus one file, the image of that release. Each has
the one before as a parent, so that all of them stay reachable: runs that have begun go on with
their own commit. `deploy/prod` points to one of them; promotion and rollback only move it.

All of it happens in git's database: the working tree is not touched.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from plumbum import ProcessExecutionError, local
from plumbum.commands.base import BaseCommand

from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.released import IMAGE_FILE

STAGING = "deploy/staging"
PROD = "deploy/prod"

_BY_DIGEST = re.compile(r"[\w.\-/:]+@sha256:[0-9a-f]{64}")


class Branches:
    """The deployment branches of a remote.

    Args:
        root: a clone.
        remote: its remote's name.
    """

    def __init__(self, root: Path, remote: str = "origin") -> None:
        self._git: BaseCommand = local["git"]["-C", str(root)]
        self._remote = remote

    def tip(self, branch: str) -> str | None:
        """The commit that a branch of the remote points to; None if it does not exist.

        Raises:
            GaiaflowError: the remote does not answer.
        """
        listed = self._run("ls-remote", self._remote, f"refs/heads/{branch}")
        if not listed:
            return None
        commit = listed.split()[0]
        self._run("fetch", "--quiet", "--no-tags", self._remote, commit)
        return commit

    def stage(self, tag: str, image: str) -> str:
        """Move `deploy/staging` to a new commit: a tag with its image.

        Args:
            tag: of the release, or any other name of a commit.
            image: its name with a digest, such as "ghcr.io/team/forest@sha256:...".

        Returns:
            The commit; the branch's present one if it is the same already.

        Raises:
            GaiaflowError: there is no such tag, the image has no digest, or the remote refuses.
        """
        if not _BY_DIGEST.fullmatch(image):
            raise GaiaflowError(
                f"{image!r} does not name an image by its digest.\n"
                "A tag can be moved to a different image; a digest can't: NAME@sha256:..."
            )
        base = self._commit(tag)
        before = self.tip(STAGING)
        tree = self._tree(base, image)
        if before and self._run("rev-parse", f"{before}^{{tree}}") == tree:
            return before
        parents = [f"-p{parent}" for parent in (before, base) if parent]
        commit = self._run("commit-tree", tree, *parents, f"-mDeploy {tag}")
        self._run("push", "--quiet", self._remote, f"{commit}:refs/heads/{STAGING}")
        return commit

    def move_prod(self, to: str | None = None) -> str:
        """Move `deploy/prod`, forward or back.

        Args:
            to: a commit that `deploy/staging` has or had; default: its present one.

        Returns:
            The commit.

        Raises:
            GaiaflowError: nothing has been deployed to staging, or not that commit; or the remote
                refuses.
        """
        staging = self.tip(STAGING)
        if staging is None:
            raise GaiaflowError(
                f"The branch {STAGING} does not exist: nothing has been released yet.\n"
                "Release first: python3 mlops_manager.py release"
            )
        commit = self._commit(to) if to else staging
        if not self._was_staged(commit, staging):
            raise GaiaflowError(
                f"{to} was never deployed to staging.\n"
                f"See what was: git log --first-parent {self._remote}/{STAGING}"
            )
        before = self.tip(PROD) or ""
        self._run(
            "push",
            "--quiet",
            f"--force-with-lease=refs/heads/{PROD}:{before}",
            self._remote,
            f"{commit}:refs/heads/{PROD}",
        )
        return commit

    def _was_staged(self, commit: str, staging: str) -> bool:
        try:
            self._run("merge-base", "--is-ancestor", commit, staging)
            self._run("cat-file", "-e", f"{commit}:{IMAGE_FILE.as_posix()}")
        except GaiaflowError:
            return False
        return True

    def _commit(self, name: str) -> str:
        try:
            return self._run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        except GaiaflowError:
            raise GaiaflowError(f"There is no commit or tag {name!r}.") from None

    def _tree(self, base: str, image: str) -> str:
        """The tree of a commit, with the image's file."""
        blob = str((self._git["hash-object", "-w", "--stdin"] << f"{image}\n")()).strip()
        entry = f"100644,{blob},{IMAGE_FILE.as_posix()}"
        with (
            tempfile.TemporaryDirectory() as folder,
            local.env(GIT_INDEX_FILE=str(Path(folder, "index"))),
        ):
            self._run("read-tree", base)
            self._run("update-index", "--add", "--cacheinfo", entry)
            return self._run("write-tree")

    def _run(self, *arguments: str) -> str:
        try:
            return str(self._git[arguments]()).strip()
        except ProcessExecutionError as error:
            raise GaiaflowError(f"git {arguments[0]} failed: {error.stderr.strip()}") from None
