"""`mlops_manager.py update`: Copier's update with an undo, environments and services.

The new release's tasks do the merge itself, also for `copier update`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from packaging.version import InvalidVersion, Version
from plumbum import cli

from gaiaflow import console
from gaiaflow.project import envfile, programs
from gaiaflow.project.errors import GaiaflowError, explain
from gaiaflow.project.identity import read_identity
from gaiaflow.project.paths import StateFolder
from gaiaflow.project.project import find_root, prepare
from gaiaflow.update import template
from gaiaflow.update.snapshot import Snapshot, SnapshotError, git_env

DONE, FAILED, CONFLICTS, HALFWAY = 0, 1, 3, 4

_ABORT = "python3 mlops_manager.py update --abort"
_CONTINUE = "python3 mlops_manager.py update --continue"
_CONTINUES = f"Continue it: {_CONTINUE}\nOr undo it: {_ABORT}"
_MERGED = f"The update is merged but not finished.\n{_CONTINUES}"
_HALF_BACK = f"The project is only partly restored.\nFix the cause, then run: {_ABORT}"
_SHOWN = 12  # paths in a list
_MARKER = re.compile(rb"(?m)^(<<<<<<< yours|>>>>>>> Gaiaflow .*)\r?$")
_MADE = (".gaiaflow/project.stamp", "uv.lock", "pixi.lock")


class Halfway(GaiaflowError):
    """An update has changed the project but is not finished."""

    exit_code = HALFWAY


class Update(cli.Application):
    """Update the framework to a newer release of the template; your files stay yours"""

    DESCRIPTION_MORE = """
Needs a clean git tree. Saves the project first, and restores it after a failure.

Exit codes: 0 done (or nothing to do), 1 failed and nothing has changed, 2 wrong use, 3 conflicts to
resolve by hand, 4 halfway: `--continue` finishes the update, and `--abort` undoes it.
"""

    check = cli.Flag("--check", help="only report whether there is a newer release")
    as_json = cli.Flag("--json", requires=["--check"], help="report it as JSON")
    to = cli.SwitchAttr(
        "--to", str, argname="VERSION", help="update to this release; default: the newest"
    )
    go_on = cli.Flag(
        "--continue",
        excludes=["--abort", "--check", "--to"],
        help="after resolving conflicts or `copier update`: update environments and services",
    )
    abort = cli.Flag(
        "--abort",
        excludes=["--continue", "--check", "--to"],
        help="restore the project to its state before the update",
    )

    def main(self) -> int:
        for name in os.environ.keys() - git_env().keys():  # for Copier, too
            del os.environ[name]
        root = find_root()
        if self.check:
            return _check(root, self.as_json)
        with _the_only_one(root):
            if self.abort:
                return _abort(root)
            if self.go_on:
                return _finish(root)
            return _update(root, self.to)


@contextmanager
def _the_only_one(root: Path) -> Iterator[None]:
    """Lock out a second update, or an `--abort` of the first, until this one ends."""
    with StateFolder(root).update_lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GaiaflowError(
                "An update of this project is running.\nWait until it ends."
            ) from None
        except OSError:
            pass  # a file system without locks, such as Lustre with some mount options
        yield


@dataclass(frozen=True)
class Releases:
    """The project's release and the newest one; commits if no release is tagged."""

    current: str
    latest: str
    newer: bool


def releases(root: Path) -> Releases:
    """Ask the template's repository for its newest release.

    Raises:
        GaiaflowError: the project is not from a template, or its repository does not answer.
    """
    source, current = template.origin(root)
    found = _tags(root, source)
    versions = [version for version in found if not version.is_prerelease]
    if not versions:
        commit = _git(root, "ls-remote", "--", source, "HEAD").partition("\t")[0]
        if not commit:
            raise GaiaflowError(f"{source} has no commits.")
        programs.say(f"{source} has no tagged releases: using its newest commit instead.")
        return Releases(current, commit[:12], not commit.startswith(current.rpartition("-g")[2]))
    latest = max(versions)
    known = _version(current.partition("-")[0])  # 0.1.0-3-gabcdef: three commits after 0.1.0
    return Releases(current, found[latest], known is None or latest > known)


def _tags(root: Path, source: str) -> dict[Version, str]:
    """The tags of the template's repository that name a release."""
    listed = _git(root, "ls-remote", "--tags", "--refs", "--", source)
    names = [line.rpartition("refs/tags/")[2] for line in listed.splitlines()]
    return {version: name for name in names if (version := _version(name))}


def _check(root: Path, as_json: bool) -> int:
    found = releases(root)
    if as_json:
        console.print_json(asdict(found))
    elif found.newer:
        console.out.print(f"The project is at {found.current}; {found.latest} is out.")
        console.err.print("Update: python3 mlops_manager.py update")
    else:
        console.out.print(f"The project is at {found.current}, which is the newest release.")
    return DONE


def _update(root: Path, version: str | None) -> int:
    _refuse_if_not_ready(root)
    source, current = template.origin(root)
    if version and (known := _version(version)):  # 0.5.0 may be the tag v0.5.0, or vice versa
        version = _tags(root, source).get(known, version)
    if _is_there(root, version, current):
        console.err.print(f"Nothing to do: the project is at {current}.")
        return DONE
    command = [*template.copier(source), "update", "--quiet", "--trust", "--defaults"]
    if version:
        command.append(f"--vcs-ref={version}")
    programs.say(f"The project is at {current}. Asking {source} for releases ...")
    began = Snapshot(root).record
    try:
        programs.run(command, cwd=root, env=template.copier_env())
    except BaseException as error:
        snapshot = Snapshot(root)
        ours = bool(snapshot) and snapshot.record != began
        merged = ours and snapshot.record.phase == "merged"
        if merged:
            with _halfway(_MERGED):
                raise
        if ours:
            with _halfway(_HALF_BACK):
                _tell_of_copies(snapshot.abort())
        if isinstance(error, GaiaflowError):
            raise GaiaflowError(f"{error}\nThe project is as it was before.") from None
        raise
    snapshot = Snapshot(root)
    if not snapshot or not snapshot.record.written:
        snapshot.discard()
        return DONE
    if snapshot.record.conflicts:
        return CONFLICTS
    _run_the_new_release(root)


def _is_there(root: Path, version: str | None, current: str) -> bool:
    """Whether the project is already at the wanted release; if unknown, let Copier find out."""
    if version:
        return version == current
    try:
        return not releases(root).newer
    except GaiaflowError:
        return False


def _run_the_new_release(root: Path) -> NoReturn:
    """Continue in the framework that has just been written."""
    arguments = [sys.executable, str(root / "mlops_manager.py"), "update", "--continue"]
    sys.stderr.flush()
    os.execve(sys.executable, arguments, programs.clean_env())


def _finish(root: Path) -> int:
    snapshot = Snapshot(root)
    if not snapshot or snapshot.record.phase == "started":
        raise GaiaflowError(
            f"There is no update to continue.\nIf one was interrupted, undo it: {_ABORT}"
        )
    with _halfway(_MERGED):
        return _bring_along(root, snapshot)


def _bring_along(root: Path, snapshot: Snapshot) -> int:
    """Update environments and services after a merge whose conflicts are resolved."""
    if left := unresolved(root, snapshot):
        console.print_error("Some files still have conflicts:")
        for path in left:
            console.err.print(f"  {path}", markup=False, soft_wrap=True)
        console.err.print(
            "Edit them, keep the right lines between <<<<<<< and >>>>>>>, and `git add` them.\n"
            f"Then run: {_CONTINUE}\nOr undo the update: {_ABORT}"
        )
        return CONFLICTS
    environment = prepare(root).environment
    if environment.python.exists() and not environment.stamp.is_fresh():
        programs.say("Updating the project's environment; the old one is kept")
        snapshot.cover(*_MADE)
        snapshot.cover_environment(environment.prefix)
        snapshot.record_written(_MADE)  # to restore them if the next line fails halfway
        environment.make()
        snapshot.record_written(_MADE)
    snapshot.save(phase="finished")  # first: in a JupyterLab terminal, the restart ends us
    if _services_run(root):
        programs.say("Services are running: restarting them")
        _manage(root, "restart")
    console.err.print(
        "The update is done. Run your tests, look at `git diff`, and commit:\n"
        "    git add --all && git commit -m 'Update Gaiaflow'\n"
        f"Or undo it: {_ABORT}",
        soft_wrap=True,
    )
    return DONE


def _abort(root: Path) -> int:
    snapshot = Snapshot(root)
    running = bool(snapshot) and _services_run(root)
    try:
        kept = snapshot.abort()
    except SnapshotError as error:
        raise GaiaflowError(str(error)) from None
    except OSError as error:
        raise Halfway(f"{explain(error)}\n{_HALF_BACK}") from None
    _tell_of_copies(kept)
    console.err.print("The project is as it was before the update.")
    if running:
        programs.say("Services are running: restarting them")
        _manage(root, "restart")
    return DONE


@contextmanager
def _halfway(advice: str) -> Iterator[None]:
    """Report a failure as halfway: the project stays changed.

    Raises:
        Halfway: the `with` block failed.
    """
    try:
        yield
    except (GaiaflowError, SnapshotError) as error:
        raise Halfway(f"{error}\n{advice}") from None
    except OSError as error:
        raise Halfway(f"{explain(error)}\n{advice}") from None
    except KeyboardInterrupt:
        programs.say(advice)
        raise


def unresolved(root: Path, snapshot: Snapshot) -> list[str]:
    """The files of an update that still have conflicts."""
    unmerged = {
        line.partition("\t")[2]
        for line in _git(root, "ls-files", "--unmerged", "-z").split("\0")
        if line
    }
    left = []
    for path in snapshot.record.conflicts:
        file = root / path
        marked = file.is_file() and _MARKER.search(file.read_bytes())
        if marked or path in unmerged:
            left.append(path)
    return left


def _pending(snapshot: Snapshot) -> bool:
    """Whether an update, or a part of one, has not been committed yet."""
    try:
        return bool(snapshot.changed()) and not snapshot.committed()
    except SnapshotError:  # git is missing, or that commit
        return False


def _tell_of_copies(paths: list[str]) -> None:
    paths = paths[::-1]  # the user's own files come last
    for path in paths[:_SHOWN]:
        console.err.print(f"The later version is in {path}", markup=False, soft_wrap=True)
    if len(paths) > _SHOWN:
        folder = "/".join(paths[0].split("/")[:3])
        console.err.print(f"and {len(paths) - _SHOWN} more are in {folder}/", soft_wrap=True)


def _refuse_if_not_ready(root: Path) -> None:
    read_identity(root)  # fail now, not after the merge
    if (root / ".env").exists():
        envfile.read(root / ".env")
    snapshot = Snapshot(root)
    pending = _pending(snapshot)
    if pending and snapshot.record.phase == "started":
        raise GaiaflowError(f"An update was interrupted.\nRestore the project first: {_ABORT}")
    try:
        changed = _git(root, "status", "--porcelain", "--", ".").splitlines()
    except GaiaflowError as error:
        raise GaiaflowError(
            f"An update needs the project in git. {error}\n"
            "Add it: git init && git add --all && git commit -m 'Before the update'"
        ) from None
    if not changed:
        return
    unfinished = pending and snapshot.record.phase == "merged"
    shown = "\n".join(f"    {line}" for line in changed[:8]) + ("\n    ..." * (len(changed) > 8))
    raise GaiaflowError(
        f"There are uncommitted changes:\n{shown}\n"
        + (
            f"They belong to an unfinished update.\n{_CONTINUES}"
            if unfinished
            else "Commit them: git add --all && git commit -m 'Before the update'"
        )
    )


def _services_run(root: Path) -> bool:
    if not StateFolder(root).backend.exists():
        return False  # they were never started; asking takes half a second
    done = subprocess.run(
        [sys.executable, str(root / "mlops_manager.py"), "status", "--json"],
        env=programs.clean_env(),
        capture_output=True,
        check=False,
    )
    try:
        return any(service["state"] == "healthy" for service in json.loads(done.stdout))
    except (ValueError, TypeError, KeyError):
        return False


def _manage(root: Path, command: str) -> None:
    programs.run([sys.executable, str(root / "mlops_manager.py"), command], cwd=root)


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise GaiaflowError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
