"""git in a project's folder, and what its remote has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from plumbum import CommandNotFound, local
from plumbum.commands.base import BaseCommand

from gaiaflow.project.errors import GaiaflowError
from gaiaflow.release import running


@dataclass(frozen=True)
class Remote:
    """What a remote has.

    `branch` is its default branch and `tip` that branch's commit; both are empty if it has none.
    """

    branch: str
    tip: str
    tags: frozenset[str]


class Git:
    """git in a clone.

    Args:
        root: a folder of the clone.
        remote: the remote's name.

    Raises:
        GaiaflowError: git is not installed.
    """

    def __init__(self, root: Path, remote: str = "origin") -> None:
        try:
            self._command: BaseCommand = local["git"]["-C", str(root)]
        except CommandNotFound:
            raise GaiaflowError("git was not found. Install it, then try again.") from None
        self.remote = remote

    def run(self, *arguments: str, stdin: str = "", **env: str) -> str:
        """Run git and return its output, without white space around it.

        Raises:
            GaiaflowError: it failed; the message contains what it says.
        """
        done = running.run(self._command[arguments].with_env(**env), stdin)
        if done.code:
            said = done.err.strip() or f"exit code {done.code}"
            raise GaiaflowError(f"git {arguments[0]} failed: {said}")
        return done.out.strip()

    def succeeds(self, *arguments: str) -> bool:
        """Whether a git command ends with exit code 0."""
        return running.run(self._command[arguments]).code == 0

    def commit(self, name: str) -> str:
        """The commit with this name, such as a tag or an abbreviation.

        Raises:
            GaiaflowError: there is none.
        """
        try:
            return self.run(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
            )
        except GaiaflowError:
            raise GaiaflowError(f"There is no commit or tag {name!r}.") from None

    def released(self, tag: str) -> str:
        """The commit of a tag. If it isn't here, as in CI's clones, the remote is asked for it.

        Raises:
            GaiaflowError: it is not on the remote either, or the remote does not answer.
        """
        ref = f"refs/tags/{tag}"
        if not self.succeeds("show-ref", "--verify", "--quiet", ref):
            if not self.run("ls-remote", self.remote, ref):
                raise GaiaflowError(f"There is no tag {tag!r}, neither here nor on {self.remote}.")
            self.run("fetch", "--quiet", "--no-tags", self.remote, f"{ref}:{ref}")
        return self.commit(ref)

    def prefix(self) -> str:
        """The folder's path in the repository, with a slash at the end; empty if it is the root."""
        return self.run("rev-parse", "--show-prefix")

    def ask_remote(self) -> Remote:
        """Ask the remote for its default branch and its tags.

        Raises:
            GaiaflowError: there is no such remote, or it does not answer.
        """
        branch, found = "", {}
        listed = self.run("ls-remote", "--symref", self.remote, "HEAD", "refs/tags/*")
        for line in listed.splitlines():
            value, _, name = line.partition("\t")
            if name == "HEAD" and value.startswith("ref: "):
                branch = value.removeprefix("ref: refs/heads/")
            else:
                found[name] = value
        prefix = "refs/tags/"
        tags = {name.removeprefix(prefix) for name in found if name.startswith(prefix)}
        return Remote(branch, found.get("HEAD", ""), frozenset(tags))

    def tip(self, branch: str) -> str | None:
        """Fetch a branch of the remote, and return its commit; None if it does not exist.

        Raises:
            GaiaflowError: the remote does not answer.
        """
        ref = f"refs/heads/{branch}"
        listed = self.run("ls-remote", self.remote, ref)
        if not listed:
            return None
        self.run("fetch", "--quiet", "--no-tags", self.remote, ref)
        return listed.split()[0]
