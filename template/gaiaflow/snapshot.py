#!/usr/bin/env python3
"""A project as it was before an update, so that one can go back to it byte by byte.

Run as a program it goes back. A copy lies beside what is saved, as `.gaiaflow/update/undo.py`, for
the case that the framework itself is full of conflicts: so this imports nothing of it, and nothing
but the standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FOLDER = ".gaiaflow/update"
KEPT = ".gaiaflow/kept"
MISSING = "missing"
WRITTEN_THROUGH = {".env", "uv.lock", "pixi.lock"}  # by programs that follow a link
CACHES = {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
_ELSEWHERE = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
}


class SnapshotError(Exception):
    """There is no way back, or not this one. The message says what to do instead."""


class Snapshot:
    """What an update changes, saved in `.gaiaflow/update` with a record of what it did.

    The record (`state.json`) has: `head`, the commit before the update; `paths`, what is saved (a
    path that was missing is saved as missing); `phase`, `started`, `merged` or `finished`;
    `written`, the files that the update writes, by hash; `environments`, folders with a copy.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / FOLDER
        self._files = self.folder / "files"
        self._state = self.folder / "state.json"
        self.state: dict[str, Any] = {}
        if self._state.is_file():
            self.state = json.loads(self._state.read_text(encoding="utf-8"))

    def __bool__(self) -> bool:
        return bool(self.state)

    @classmethod
    def prepare(cls, root: Path) -> Snapshot:
        """Make the folder for an update that has not changed anything yet."""
        made = cls(root)
        made.discard()
        made._files.mkdir(parents=True)
        (made.folder / ".gitignore").write_text("*\n")
        return made

    @classmethod
    def take(cls, root: Path, paths: Iterable[str]) -> Snapshot:
        """Save these paths (files or folders, relative), git's index, and which commit it is."""
        made = cls.prepare(root)
        made.begin()
        made.cover(*paths)
        return made

    def begin(self) -> None:
        """Note git's index and commit as they are now; what is saved already stays so."""
        shutil.copyfile(__file__, self.folder / "undo.py")
        shutil.copyfile(self._index(), self._saved_index)
        self.state = {
            "untracked": [],  # 0.4.0 reads it, if it has to bring its own project back
            "paths": [],
            "written": {},
            "environments": [],
            **self.state,
            "phase": "started",
            "head": self.head(),
        }
        self.save()

    def cover(self, *paths: str) -> None:
        """Save more paths, as they are now, before something changes them."""
        for path in dict.fromkeys(paths):
            if any(path == known or path.startswith(f"{known}/") for known in self.state["paths"]):
                continue
            for name in files_below(self.root, path):
                if is_there(place(self.root, name)):
                    copy(place(self.root, name), self._files / name)
            self.state["paths"].append(path)
        self.save()

    def cover_environment(self, path: str) -> None:
        """Copy a folder of packages, which programs change in place.

        A file that is linked elsewhere too (uv and conda link those of packages to their caches)
        is linked once more, because whoever changes it in place would break all of them; any
        other file is copied, and so is one of another file system.
        """
        source, target = self.root / path, self.folder / "environments" / path
        if path in self.state["environments"] or not source.is_dir():
            return
        shutil.rmtree(target, ignore_errors=True)  # of a copy that was cut off
        mirror(source, target)
        self.state["environments"].append(path)
        self.save()

    def saved(self, path: str) -> bytes | None:
        """The content of a file before the update; None if there was none."""
        file = self._files / path
        return file.read_bytes() if file.is_file() else None

    def wait(self) -> None:
        """Wait until nothing that an update has begun in the background writes here."""
        if self.folder.is_dir():
            # Where files can't be locked, nothing is begun in the background.
            with self.lock.open("a") as lock, contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)

    @property
    def lock(self) -> Path:
        """The file that is locked while something writes here in the background."""
        return self.folder / "lock"

    def save(self, **changes: Any) -> None:
        """Change the record, and write it whole or not at all."""
        self.state.update(changes)
        draft = self._state.with_suffix(".new")
        draft.write_text(json.dumps(self.state, indent=2), encoding="utf-8")
        draft.replace(self._state)

    def plan(self, digests: Mapping[str, str]) -> None:
        """Note what is about to be written, so that a cut-off update can tell it from other work.

        Only these files are brought back, and only what is in them by then is not copied before.
        """
        self.state["written"].update(digests)
        self.save()

    def record_written(self, paths: Iterable[str]) -> None:
        """Note files as the update has written them."""
        self.plan({path: digest(place(self.root, path)) for path in paths})

    def head(self) -> str:
        """The commit that is checked out now."""
        return self._git("rev-parse", "--verify", "--quiet", "HEAD").decode().strip()

    def changed(self) -> list[str]:
        """The files that the update writes and that are not as they were before it."""
        return [name for name in self.state.get("written", {}) if not self._is_as_saved(name)]

    def committed(self) -> list[str]:
        """Those of them that have been committed since.

        Raises:
            SnapshotError: git does not have the commit before the update any more.
        """
        if not self or self.head() == self.state["head"]:
            return []
        trees = ("-r", "-z", "--name-only", "--relative", self.state["head"], "HEAD")
        listed = self._git("diff-tree", *trees).split(b"\0")
        return sorted(set(map(os.fsdecode, listed)) & self.state["written"].keys())

    def restore(self) -> list[str]:
        """Bring back the files that the update wrote, and git's index of them.

        What is neither as the update wrote it nor as it was before goes to `KEPT` first.

        Returns:
            The copies in `KEPT`, relative to the project.
        """
        kept = Kept(self.root)
        for name in self.changed():
            file = place(self.root, name)
            if digest(file) != self.state["written"][name]:
                kept.add(name)
            if is_there(self._files / name):
                copy(self._files / name, file)
            else:
                file.unlink()
                remove_empty_folders(self.root, file.parent)
        self._restore_index()
        return kept.paths

    def restore_environments(self) -> None:
        """Make environments again what they were; one that is a link, or a mount, stays so."""
        for path in self.state["environments"]:
            mirror(self.folder / "environments" / path, self.root / path)

    def discard(self) -> None:
        """Forget what is saved."""
        self.wait()
        self.state = {}
        self._state.unlink(missing_ok=True)  # first: half of it is of no use
        shutil.rmtree(self.folder, ignore_errors=True)

    def abort(self) -> list[str]:
        """Undo the update; the rest is as for `restore`.

        Raises:
            SnapshotError: there is none, or it has been committed.
        """
        if not self:
            raise SnapshotError("There is no update to abort.")
        if paths := self.committed():
            raise SnapshotError(self._how_git_undoes(paths))
        kept = self.restore()
        self.restore_environments()
        self.discard()
        return kept

    def _how_git_undoes(self, paths: list[str]) -> str:
        """What to do when the update, or a part of it, has been committed."""
        head = self.state["head"]
        saved = f"What it replaced is in {FOLDER}/files/ until the next update."
        if not self._has("merge-base", "--is-ancestor", head, "HEAD"):
            return (
                f"The update began at commit {head[:12]}, which is not in the history of what is "
                f"checked out now, and {paths[0]} is different here.\n"
                f"Check out the branch that you updated, and try again. {saved}"
            )
        plain = ("-c", "log.showSignature=false", "-c", "log.follow=false", "--literal-pathspecs")
        options = ("--first-parent", "--format=%h %p%x09%s", f"{head}..HEAD", "--", *paths)
        commands = []
        for line in self._git(*plain, "log", *options).decode(errors="replace").splitlines():
            commits, _, subject = line.partition("\t")
            name, *parents = commits.split()
            revert = "git revert -m 1" if len(parents) > 1 else "git revert"
            commands.append(f"    {revert} {name}    # {subject}")
        listed = "\n".join(commands)
        shown = ", ".join(paths[:3]) + (" ..." if len(paths) > 3 else "")
        return (
            f"The update has been committed ({shown}), so git undoes it:\n{listed}\n"
            f"See before what else is in a commit: git show --stat COMMIT. {saved}"
        )

    def _is_as_saved(self, name: str) -> bool:
        now, saved = place(self.root, name), self._files / name
        return _same(now, saved) or not (is_there(now) or is_there(saved))

    def _restore_index(self) -> None:
        """Bring git's index back for the update's own files; what else is staged stays so."""
        prefix = self._git("rev-parse", "--show-prefix").decode().strip()
        ours = {os.fsencode(prefix + name) for name in self.state["written"]}

        def entries(index: Path) -> dict[bytes, list[bytes]]:
            found: dict[bytes, list[bytes]] = {}
            listed = self._git("ls-files", "--stage", "-z", "--full-name", index=index)
            for line in listed.split(b"\0"):
                name = line.partition(b"\t")[2]
                if name in ours:
                    found.setdefault(name, []).append(line)
            return found

        now, wanted = entries(self._index()), entries(self._saved_index)
        lines = []
        for name in sorted(ours):
            if now.get(name) != wanted.get(name):
                lines += [b"0 %s\t%s" % (b"0" * len(self.state["head"]), name)]
                lines += wanted.get(name, [])
        if lines:
            self._git("update-index", "-z", "--index-info", stdin=b"\0".join([*lines, b""]))
        self._has("update-index", "-q", "--refresh")

    @property
    def _saved_index(self) -> Path:
        return self.folder / "index"

    def _index(self) -> Path:
        path = self._git("rev-parse", "--git-path", "index").decode().strip()
        return self.root / path

    def _has(self, *arguments: str) -> bool:
        """Whether git says yes."""
        try:
            self._git(*arguments)
        except SnapshotError:
            return False
        return True

    def _git(self, *arguments: str, stdin: bytes = b"", index: Path | None = None) -> bytes:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env={**git_env(), **({"GIT_INDEX_FILE": str(index)} if index else {})},
            input=stdin,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            shown = " ".join(["git", *arguments[:3]])
            raise SnapshotError(f"{shown} failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout


def git_env() -> dict[str, str]:
    """The environment without what sends git elsewhere, as in a hook or `git rebase --exec`."""
    return {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}


def files_below(root: Path, path: str) -> list[str]:
    """All files and links of a path, relative to the root, without caches; none if it is missing.

    A folder that is a link counts as a link: what is behind it belongs to somebody else. But what
    is in `.gaiaflow` is the project's, wherever that leads.
    """
    top = root / path
    inside = [parent for parent in top.parents if root in parent.parents]
    if any(parent.is_symlink() and parent.name != ".gaiaflow" for parent in inside):
        return []
    if top.is_symlink() or top.is_file():
        return [path]
    found = []
    for folder, folders, names in os.walk(top):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = [name for name in folders if name not in CACHES and name not in links]
        found += [(Path(folder) / name).relative_to(root).as_posix() for name in [*names, *links]]
    return sorted(found)


def place(root: Path, path: str) -> Path:
    """Where the content of a path of the project is that an update may change."""
    file = root / path
    return file.resolve() if path in WRITTEN_THROUGH else file


class Kept:
    """Copies of what goes, in a new folder of `KEPT`; none is ever removed or overwritten."""

    def __init__(self, root: Path) -> None:
        self._root = root
        made = [int(path.name) for path in (root / KEPT).glob("*") if path.name.isdecimal()]
        self._folder = f"{KEPT}/{max(made, default=0) + 1}"
        self.paths: list[str] = []

    def add(self, path: str) -> None:
        source = place(self._root, path)
        if is_there(source):
            copy(source, self._root / self._folder / path)
            self.paths.append(f"{self._folder}/{path}")


def copy(source: Path, target: Path) -> None:
    """Copy a file or a link as it is, with its times and its mode; whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.parent / ".gaiaflow-draft"
    draft.unlink(missing_ok=True)
    try:
        shutil.copy2(source, draft, follow_symlinks=False)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _same(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    if not one.is_file() or not other.is_file():
        return False
    mine, its = one.stat(), other.stat()
    if (mine.st_mode, mine.st_size) != (its.st_mode, its.st_size):
        return False
    return os.path.samestat(mine, its) or one.read_bytes() == other.read_bytes()


def is_there(path: Path) -> bool:
    """Whether there is a file or a link, even one that leads nowhere."""
    return path.is_symlink() or path.is_file()


def digest(path: Path) -> str:
    """What stands for the content of a file, or for where a link leads, in the record."""
    if path.is_symlink():
        return f"link {path.readlink()}"
    if not path.is_file():
        return MISSING
    return digest_of(path.read_bytes())


def digest_of(data: bytes) -> str:
    """The same, of a file's content."""
    return hashlib.sha256(data).hexdigest()


def mirror(source: Path, target: Path) -> None:
    """Make a folder the same as another, by touching only what differs.

    Nothing is renamed: the two may be on different file systems, and either may be a link. What is
    cut off can be done again.
    """
    target = target.resolve()
    target.mkdir(parents=True, exist_ok=True)
    wanted = {entry.name: entry for entry in os.scandir(source)}
    for there in os.scandir(target):
        entry = wanted.get(there.name)
        kept = entry and entry.is_dir(follow_symlinks=False)
        if there.is_dir(follow_symlinks=False) and not kept:
            shutil.rmtree(there.path)
        elif not entry or (kept and not there.is_dir(follow_symlinks=False)):
            Path(there.path).unlink()
    for name, entry in wanted.items():
        if entry.is_dir(follow_symlinks=False):
            mirror(Path(entry.path), target / name)
        elif not _same(Path(entry.path), target / name) or _age(entry.path) != _age(target / name):
            (target / name).unlink(missing_ok=True)
            _link_or_copy(Path(entry.path), target / name)
    shutil.copystat(source, target)


def _age(path: str | Path) -> int:
    return os.lstat(path).st_mtime_ns


def _link_or_copy(source: Path, target: Path) -> None:
    if not source.is_symlink() and source.stat().st_nlink > 1:
        with contextlib.suppress(OSError):  # another file system, or one without such links
            os.link(source, target)
            return
    shutil.copy2(source, target, follow_symlinks=False)


def remove_empty_folders(root: Path, folder: Path) -> None:
    """Remove a folder of the project in which there is nothing but a cache, and its parents."""
    while folder != root and root in folder.parents:
        if any(child.name != "__pycache__" for child in folder.iterdir()):
            return
        shutil.rmtree(folder)
        folder = folder.parent


if __name__ == "__main__":
    try:
        # Not resolved: `.gaiaflow` may be a link to another place.
        copies = Snapshot(Path(__file__).absolute().parents[2]).abort()
    except SnapshotError as error:
        sys.exit(f"error: {error}")
    for path_of_copy in copies:
        sys.stderr.write(f"The later version is in {path_of_copy}\n")
    sys.stderr.write("The project is as it was before the update.\n")
