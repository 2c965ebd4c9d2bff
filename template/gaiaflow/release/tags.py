"""The tags of releases: `v` and the version."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.version import InvalidVersion, Version

from gaiaflow.backends.base import no_interrupts
from gaiaflow.project import programs
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.release.git import Git


def name(version: str) -> str:
    """The tag of a version."""
    return f"v{version}"


def newest(tags: Iterable[str]) -> str | None:
    """The tag of the largest version; None if no tag is that of a release."""
    found = {version: tag for tag in tags if (version := _version(tag))}
    return found[max(found)] if found else None


def local(git: Git) -> list[str]:
    """The tags of a clone."""
    return git.run("for-each-ref", "--format=%(refname:strip=2)", "refs/tags").splitlines()


def last(git: Git) -> str:
    """The tag of the last release, among those of a clone.

    Raises:
        GaiaflowError: there is none.
    """
    found = newest(local(git))
    if found is None:
        raise GaiaflowError(
            "There is no tag of a release, such as v1.2.0.\n"
            "Fetch the tags: git fetch --tags\n"
            "Or release first: python3 mlops_manager.py release"
        )
    return found


def create(git: Git, tag: str, commit: str, message: str) -> None:
    """Make an annotated tag, and push it. If that fails or is interrupted, the tag is not kept.

    Args:
        message: the tag's first line and, below it, what has changed.

    Raises:
        GaiaflowError: the tag exists, or the remote refuses it.
    """
    if tag in local(git):  # a minute of tests has passed since the check
        raise GaiaflowError(f"There is a tag {tag} already.")
    # Headings of CHANGES.md begin with a #, as git's comments do.
    options = ("--annotate", "--cleanup=whitespace", "--file=-")
    try:
        git.run("tag", *options, tag, commit, stdin=message)
        git.run("push", "--quiet", git.remote, f"refs/tags/{tag}:refs/tags/{tag}")
    except BaseException as error:
        with no_interrupts():
            git.succeeds("tag", "--delete", tag)
        if isinstance(error, KeyboardInterrupt):
            look = f"git ls-remote {git.remote} refs/tags/{tag}"
            programs.say(f"The tag {tag} was removed here. Whether it was pushed: {look}")
        raise


def _version(tag: str) -> Version | None:
    try:
        return Version(tag.removeprefix("v")) if tag.startswith("v") else None
    except InvalidVersion:
        return None
