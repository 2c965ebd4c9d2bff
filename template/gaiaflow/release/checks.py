"""What must hold before a release is tagged.

A check is a function that examines one thing and returns a Finding, or None if another check
reports the cause. To add a check, write a function and list it in CHECKS.
"""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from packaging.version import InvalidVersion, Version
from plumbum import local

from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.project import programs, source
from gaiaflow.project.environments import MANAGERS
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_toml
from gaiaflow.project.project import Project
from gaiaflow.release import running, tags
from gaiaflow.release.changes import Section, section
from gaiaflow.release.git import Git, Remote

_SHOWN = 10  # failed tests
_COMMIT = "git commit --all"


@dataclass(frozen=True)
class Candidate:
    """What is to be released: a commit of a project as a version.

    `declared` is the version in pyproject.toml, empty if it has none.
    """

    project: Project
    git: Git
    commit: str
    version: str
    declared: str

    @property
    def tag(self) -> str:
        return tags.name(self.version)

    @property
    def message(self) -> str:
        """The text of the tag: the version, and what CHANGES.md says about it."""
        return f"{self.version}\n\n{self.notes.text if self.notes else ''}\n"

    @cached_property
    def remote(self) -> Remote | None:
        """What the remote has; None if it can't be asked, which one check reports."""
        try:
            return self.git.ask_remote()
        except GaiaflowError:
            return None

    @cached_property
    def notes(self) -> Section | None:
        """The version's section in CHANGES.md."""
        path = self.project.root / "CHANGES.md"
        text = path.read_text("utf-8", errors="replace") if path.is_file() else ""
        return section(text, self.version)


def examine(project: Project, version: str = "") -> Candidate:
    """Read what is to be released; the version is by default the one in pyproject.toml.

    Raises:
        GaiaflowError: the project has no commit, or pyproject.toml cannot be read.
    """
    git = Git(project.root)
    try:
        commit = git.commit("HEAD")
    except GaiaflowError:
        raise GaiaflowError(
            "The project is not in a git repository, or it has no commit.\nSee: git -C . status"
        ) from None
    metadata: dict[str, Any] = read_toml(project.root / "pyproject.toml").get("project", {})
    declared = str(metadata.get("version", ""))
    return Candidate(project, git, commit, version or declared, declared)


def tree(candidate: Candidate) -> Finding:
    """Check that all files of the project are committed."""
    dirty = source.is_dirty(candidate.project.root)
    if dirty is None:
        return Finding("tree", PROBLEM, "git can't tell what is committed", "git status")
    if dirty:
        fix = (
            "git status    # shows which\ngit add --all && git commit    # unless some don't belong"
        )
        return Finding("tree", PROBLEM, "some files of the project are not committed", fix)
    return Finding("tree", OK, f"all is in commit {candidate.commit[:12]}")


def remote(candidate: Candidate) -> Finding:
    """Check that the remote answers."""
    git = candidate.git
    if candidate.remote:
        return Finding("remote", OK, f"{git.remote} answers")
    if git.remote not in git.run("remote").splitlines():
        fix = f"# Make an empty repository at your host, then:\ngit remote add {git.remote} URL"
        return Finding("remote", PROBLEM, f"there is no remote {git.remote}", fix)
    fix = f"git ls-remote {git.remote}    # shows why"
    return Finding("remote", PROBLEM, f"{git.remote} does not answer", fix)


def branch(candidate: Candidate) -> Finding | None:
    """Check that the remote's default branch has the commit."""
    git, found, commit = candidate.git, candidate.remote, candidate.commit
    if found is None:
        return None
    here = git.run("branch", "--show-current") or "HEAD"
    push = shlex.join(["git", "push", git.remote, here])
    if not found.tip:
        return Finding("branch", PROBLEM, f"{git.remote} has no default branch", push)
    default = f"{git.remote}/{found.branch}"
    if found.tip == commit:
        return Finding("branch", OK, f"{default} has the commit")
    git.tip(found.branch)
    if git.succeeds("merge-base", "--is-ancestor", commit, found.tip):
        newer = git.run("rev-list", "--count", f"{commit}..{found.tip}")
        what = f"the release leaves out {newer} newer commits of {default}"
        return Finding("branch", WARNING, what, "git pull    # to include them")
    if here == found.branch:
        what, fix = f"{default} lacks the commit", push
    else:
        what = f"the commit is on {here}, not on {default}"
        fix = f"# Merge it into {found.branch}, then:\n"
        fix += f"git switch {shlex.quote(found.branch)} && git pull"
    return Finding("branch", PROBLEM, what, fix)


def version(candidate: Candidate) -> Finding:
    """Check that the version is valid and larger than that of all releases."""
    check, wanted = "version", candidate.version
    try:
        parsed = Version(wanted)
    except InvalidVersion:
        what = f"{wanted!r} is not a version" if wanted else "pyproject.toml has no version"
        return Finding(check, PROBLEM, what, "# Choose one such as 1.2.0, see PEP 440.")
    if parsed.public != wanted:  # 1.0-beta is 1.0b0; 1.0+mine is for machines of one's own
        what = f"{wanted} is not the normal form of a version"
        return Finding(check, PROBLEM, what, f"# Write it as {parsed.public}")
    known = {*tags.local(candidate.git), *(candidate.remote.tags if candidate.remote else ())}
    last = tags.newest(known - {candidate.tag})  # another check reports that one
    if last and Version(last) >= parsed:
        what = f"{wanted} is not larger than the last release, {last}"
        return Finding(check, PROBLEM, what, f"# Choose a version after {last}.")
    return Finding(check, OK, f"{wanted} comes after {last}" if last else f"{wanted} is the first")


def pyproject(candidate: Candidate) -> Finding | None:
    """Check that pyproject.toml has the version."""
    if not candidate.version:
        return None
    if candidate.declared == candidate.version:
        return Finding("pyproject", OK, f"has version {candidate.version}")
    fix = (
        f'# In pyproject.toml, below [project], write: version = "{candidate.version}"\n'
        f"python3 mlops_manager.py deps    # it is in the lock file, too\n{_COMMIT}"
    )
    return Finding("pyproject", PROBLEM, f"has version {candidate.declared or 'none'}", fix)


def changes(candidate: Candidate) -> Finding | None:
    """Check that CHANGES.md says what is new in the version."""
    check, found = "changes", candidate.notes
    if not candidate.version:
        return None
    heading = f"## {candidate.version} ({datetime.date.today()})"
    fix = f"# In CHANGES.md, write what is new below the heading: {heading}\n{_COMMIT}"
    if found is None:
        return Finding(check, PROBLEM, f"CHANGES.md has no section {candidate.version}", fix)
    if found.in_development:
        return Finding(check, PROBLEM, f"the heading in CHANGES.md says{found.rest}", fix)
    if not found.text:
        return Finding(check, PROBLEM, f"{candidate.version} in CHANGES.md is empty", fix)
    return Finding(check, OK, f"CHANGES.md has a section {candidate.version}")


def tag(candidate: Candidate) -> Finding | None:
    """Check that the tag does not exist yet."""
    git, name = candidate.git, candidate.tag
    if not candidate.version:
        return None
    if candidate.remote and name in candidate.remote.tags:
        fix = "# Choose a larger version: what was released stays as it is."
        return Finding("tag", PROBLEM, f"{git.remote} has the tag {name} already", fix)
    if name in tags.local(git):
        return Finding("tag", PROBLEM, f"there is a tag {name} here", f"git tag --delete {name}")
    return Finding("tag", OK, f"{name} is free")


def lock(candidate: Candidate) -> Finding:
    """Check that git has the lock file, so that the image gets what the tests have."""
    file = MANAGERS[candidate.project.identity.environment_manager].lock
    if candidate.git.succeeds("ls-files", "--error-unmatch", "--", file):
        return Finding("lock", OK, f"{file} is in git")
    fix = f"python3 mlops_manager.py deps\ngit add {file}\n{_COMMIT}"
    return Finding("lock", PROBLEM, f"{file} is not in git", fix)


def environment(candidate: Candidate) -> Finding:
    """Check that the project's environment matches the lock file."""
    if candidate.project.environment.stamp.is_fresh():
        return Finding("environment", OK, f"{candidate.project.environment.prefix} is up to date")
    fix = "python3 mlops_manager.py deps"
    return Finding("environment", PROBLEM, "the project's environment is not up to date", fix)


def tests(candidate: Candidate) -> Finding | None:
    """Run the project's tests in its environment."""
    project = candidate.project
    if not project.environment.stamp.is_fresh():
        return None
    python = project.environment.python
    programs.say("Running the project's tests ...")
    done = running.run(local[str(python)]["-m", "pytest"].with_cwd(str(project.root)))
    lines = [line.strip("= ") for line in (done.out + done.err).splitlines() if line.strip("= ")]
    last = lines[-1] if lines else f"exit code {done.code}"
    if not done.code:
        return Finding("tests", OK, last)
    failed = [f"# {line}" for line in lines if line.startswith(("FAILED ", "ERROR "))]
    again = f"{python.relative_to(project.root)} -m pytest"
    return Finding("tests", PROBLEM, last, "\n".join([*failed[:_SHOWN], again]))


# In the order in which to fix problems; the slow one comes last.
CHECKS: tuple[Callable[[Candidate], Finding | None], ...] = (
    *(tree, remote, branch, version, pyproject, changes, tag, lock, environment, tests),
)


def run(candidate: Candidate) -> Iterator[Finding]:
    """Run all checks, and yield their findings."""
    for check in CHECKS:
        try:
            found = check(candidate)
        except GaiaflowError as error:
            what, _, advice = str(error).partition("\n")
            comment = "\n".join(f"# {line}" for line in advice.splitlines())
            found = Finding(check.__name__, PROBLEM, what, comment)
        if found:
            yield found
