"""The branches that Airflow tracks: `deploy/staging` and `deploy/prod`.

A commit on `deploy/staging` is a release's tag plus one file, the image of that release. Each has
the one before as a parent, so that all of them stay reachable: runs that have begun go on with
their own commit. `deploy/prod` points to one of them; promotion and rollback only move it.

All of it happens in git's database: the working tree is not touched.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.released import IMAGE_FILE
from gaiaflow.release.git import Git

STAGING = "deploy/staging"
PROD = "deploy/prod"

_BY_DIGEST = re.compile(r"[\w.\-/:]+@sha256:[0-9a-f]{64}")
_SUBJECT = "Deploy "  # and the tag
_SHOWN = 5  # deployments in an error


@dataclass(frozen=True)
class Deployment:
    """A commit of a deployment branch: a release's tag, that tag's commit, and the image's name."""

    commit: str
    tag: str
    tag_commit: str
    image: str


@dataclass(frozen=True)
class Move:
    """What a branch pointed to, if it existed, and what it points to now."""

    branch: str
    before: Deployment | None
    after: Deployment


class Branches:
    """The deployment branches of a project's remote."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._file = f"{git.prefix()}{IMAGE_FILE.as_posix()}"  # in the repository

    def stage(self, tag: str, image: str) -> Move:
        """Move `deploy/staging` to a new commit: a tag with its image.

        If the branch has both already, it stays where it is.

        Args:
            tag: of the release.
            image: its name with a digest, such as "ghcr.io/team/forest@sha256:...".

        Raises:
            GaiaflowError: there is no such tag, the image has no digest, another project of the
                repository uses the branch, or the remote refuses.
        """
        if not _BY_DIGEST.fullmatch(image):
            raise GaiaflowError(
                f"{image!r} does not name an image by its digest.\n"
                "A tag can be moved to a different image; a digest can't: NAME@sha256:..."
            )
        base = self._git.released(tag)
        tip = self._git.tip(STAGING)
        before = self._read(tip) if tip else None
        if tip:
            self._refuse_another_project(tip)
        tree = self._tree(base, image)
        if before and before.image and self._git.run("rev-parse", f"{tip}^{{tree}}") == tree:
            return Move(STAGING, before, before)
        commit = self._commit(tree, tag, filter(None, (tip, base)))
        # Not forced: if somebody else has deployed meanwhile, git refuses.
        self._git.run("push", "--quiet", self._git.remote, f"{commit}:refs/heads/{STAGING}")
        return Move(STAGING, before, Deployment(commit, tag, base, image))

    def rehearse(self, base: str, image: str) -> str:
        """A commit as `stage` makes it, which no branch gets.

        Args:
            base: any commit.
            image: the image of that commit.
        """
        return self._commit(self._tree(base, image), "rehearsal", [base])

    def move_prod(self, to: str | None = None) -> Move:
        """Move `deploy/prod`, forward or back.

        Args:
            to: a release that `deploy/staging` has or had: its tag or a commit; default: the
                present one.

        Raises:
            GaiaflowError: nothing has been deployed to staging, or not that release; or the remote
                refuses.
        """
        tip = self._git.tip(STAGING)
        if tip is None:
            raise GaiaflowError(
                f"The branch {STAGING} does not exist: nothing has been deployed to staging.\n"
                "Deploy a release there first: python3 mlops_manager.py deploy staging TAG"
            )
        after = self._find(to or tip, tip)
        at = self._git.tip(PROD)
        before = self._read(at) if at else None
        if at != after.commit:
            refs = f"{after.commit}:refs/heads/{PROD}"
            lease = f"--force-with-lease=refs/heads/{PROD}:{at or ''}"
            self._git.run("push", "--quiet", lease, self._git.remote, refs)
        return Move(PROD, before, after)

    def deployed(self, branch: str) -> Deployment | None:
        """What a branch of the remote points to; None if it does not exist.

        Raises:
            GaiaflowError: the remote does not answer.
        """
        tip = self._git.tip(branch)
        return self._read(tip) if tip else None

    def _history(self, tip: str) -> Iterator[Deployment]:
        """What was deployed to staging, the latest first."""
        listed = self._git.run("rev-list", "--first-parent", f"--grep=^{_SUBJECT}", tip)
        read = (self._read(commit) for commit in listed.splitlines())
        return (found for found in read if found.image)

    def _find(self, name: str, tip: str) -> Deployment:
        """The last deployment of a tag or a commit."""
        try:
            commit = self._git.commit(name)
        except GaiaflowError:  # in CI's clones, tags may be missing
            commit = ""
        known = []
        for one in self._history(tip):
            if one.tag == name or commit in {one.commit, one.tag_commit}:
                return one
            known.append(f"  {one.tag}  {one.commit[:12]}")
        what = f"{name} is not a release that was in staging. These were, latest first:"
        lines = [what, *known[:_SHOWN]]
        if self._git.run("rev-parse", "--is-shallow-repository") == "true":
            lines.append("This clone may lack some: git fetch --unshallow")
        raise GaiaflowError("\n".join(lines))

    def _read(self, commit: str) -> Deployment:
        """A commit of a branch; without an image if nothing of ours has made it."""
        header, _, message = self._git.run("cat-file", "commit", commit).partition("\n\n")
        subject, file = message.partition("\n")[0], f"{commit}:{self._file}"
        if not subject.startswith(_SUBJECT) or not self._git.succeeds("cat-file", "-e", file):
            return Deployment(commit, "", "", "")
        *_, base = re.findall(r"(?m)^parent (\w+)$", header)
        image = self._git.run("cat-file", "blob", file)
        return Deployment(commit, subject.removeprefix(_SUBJECT), base, image)

    def _refuse_another_project(self, tip: str) -> None:
        """A repository can have several projects, but its branches belong to one."""
        listed = self._git.run("ls-tree", "-r", "-z", "--full-tree", "--name-only", tip).split("\0")
        file = f"/{IMAGE_FILE.as_posix()}"
        others = [name for name in listed if f"/{name}".endswith(file) and name != self._file]
        if others and self._file not in listed:
            raise GaiaflowError(
                f"{STAGING} has the image of another project of this repository: {others[0]}.\n"
                "Move one of the projects to a repository of its own."
            )

    def _commit(self, tree: str, tag: str, parents: Iterable[str]) -> str:
        of = [f"-p{parent}" for parent in parents]
        return self._git.run("commit-tree", tree, *of, f"-m{_SUBJECT}{tag}")

    def _tree(self, base: str, image: str) -> str:
        """The tree of a commit, with the image's file."""
        blob = self._git.run("hash-object", "-w", "--stdin", stdin=f"{image}\n")
        with tempfile.TemporaryDirectory() as folder:
            index = str(Path(folder, "index"))
            self._git.run("read-tree", base, GIT_INDEX_FILE=index)
            entry = f"100644,{blob},{self._file}"
            self._git.run("update-index", "--add", "--cacheinfo", entry, GIT_INDEX_FILE=index)
            return self._git.run("write-tree", GIT_INDEX_FILE=index)
