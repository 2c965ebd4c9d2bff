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
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = ".gaiaflow/update"
KEPT = ".gaiaflow/kept"
CACHES = {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


class SnapshotError(Exception):
    """There is no way back, or not this one. The message says what to do instead."""


class Snapshot:
    """What an update may touch, saved in `.gaiaflow/update` with a record of what it did.

    The record (`state.json`) has: `head`, the commit before the update; `paths`, what is saved (a
    path that was missing is saved as missing); `phase`, `started`, `merged` or `finished`;
    `written`, the files that the update wrote, by hash; `environments`, folders with a copy.
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
    def take(cls, root: Path, paths: Iterable[str]) -> Snapshot:
        """Save these paths (files or folders, relative), git's index, and which commit it is."""
        made = cls(root)
        made.discard()
        made._files.mkdir(parents=True)
        (made.folder / ".gitignore").write_text("*\n")
        shutil.copyfile(__file__, made.folder / "undo.py")
        shutil.copyfile(made._index(), made.folder / "index")
        made.state = {
            "phase": "started",
            "head": made.head(),
            "untracked": made._untracked(),
            "paths": [],
            "written": {},
            "environments": [],
        }
        made.cover(*paths)
        return made

    def cover(self, *paths: str) -> None:
        """Save more paths, as they are now, before something changes them."""
        for path in dict.fromkeys(paths):
            if any(path == known or path.startswith(f"{known}/") for known in self.state["paths"]):
                continue
            for name in files_below(self.root, path):
                copy(self.root / name, self._files / name)
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

    def record_written(self, paths: Iterable[str]) -> None:
        """Note files as the update has written them: to go back may remove these."""
        for path in paths:
            self.state["written"][path] = _digest(self.root / path)
        self.save()

    def head(self) -> str:
        """The commit that is checked out now."""
        return self._git("rev-parse", "--verify", "--quiet", "HEAD").decode().strip()

    def restore(self, at_once: bool = True) -> list[str]:
        """Bring back files and git's index; what a person may have written goes to `KEPT` before.

        Args:
            at_once: the update has been running until now, so what is saved here and has changed
                since was changed by it. Else a person may have worked on what it left.

        Returns:
            The copies in `KEPT`, relative to the project.
        """
        cut_off = self.state["phase"] == "started"
        kept = _Kept(self.root)
        for path in self.state["paths"]:
            wanted = set(files_below(self._files, path))
            for name in files_below(self.root, path):
                ours = cut_off or name in self.state["written"]
                if name not in wanted and not ours:
                    continue  # new since the update: theirs
                if _same(self.root / name, self._files / name):
                    continue
                known = _digest(self.root / name) == self.state["written"].get(name)
                if not (at_once if cut_off else known):
                    kept.add(name)
                if name not in wanted:
                    (self.root / name).unlink()
                    remove_empty_folders(self.root, (self.root / name).parent)
            for name in wanted:
                if not _same(self.root / name, self._files / name):
                    copy(self._files / name, self.root / name)
        shutil.copyfile(self.folder / "index", self._index())
        if cut_off:
            self._undo_strays(kept)
        self._git("update-index", "-q", "--refresh", check=False)
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

    def abort(self, at_once: bool = False) -> list[str]:
        """Undo the update; the rest is as for `restore`.

        Raises:
            SnapshotError: there is none, or it has been committed.
        """
        if not self:
            raise SnapshotError("There is no update to abort.")
        if self.head() != self.state["head"] and self.state["phase"] == "started":
            raise SnapshotError(
                "An update was cut off here, but there are commits since, so this cannot go back.\n"
                f"What has changed since it began: git diff {self.state['head'][:12]}\n"
                f"What it had saved, until the next update: {FOLDER}/files/"
            )
        if self.head() != self.state["head"]:
            raise SnapshotError(
                "The update has been committed, so git undoes it:\n"
                f"    git revert HEAD          # or: git reset --hard {self.state['head'][:12]}"
            )
        kept = self.restore(at_once)
        self.restore_environments()
        self.discard()
        return kept

    def _undo_strays(self, kept: _Kept) -> None:
        """Undo what became of files that are not saved here: git has them.

        Copier makes and changes such files, but a person may have saved one meanwhile.
        """
        changed = self._git("diff", "--name-only", "--relative", "-z").split(b"\0")
        changed = [path for path in changed if path]
        new = sorted(set(self._untracked()) - set(self.state["untracked"]))
        new = [path for path in new if not path.endswith("/")]  # a repository that somebody cloned
        for path in [*map(os.fsdecode, changed), *new]:
            if not path.endswith(".rej"):  # Copier's
                kept.add(path)
        if changed:
            paths = b"\0".join(changed)
            self._git("checkout-index", "--force", "-z", "--stdin", stdin=paths)
        for path in new:
            (self.root / path).unlink(missing_ok=True)
            remove_empty_folders(self.root, (self.root / path).parent)

    def _untracked(self) -> list[str]:
        listed = self._git("ls-files", "--others", "--exclude-standard", "-z")
        return sorted(os.fsdecode(path) for path in listed.split(b"\0") if path)

    def _index(self) -> Path:
        path = self._git("rev-parse", "--git-path", "index").decode().strip()
        return self.root / path

    def _git(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> bytes:
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, input=stdin, capture_output=True, check=False
        )
        if check and done.returncode:
            shown = " ".join(["git", *arguments])
            raise SnapshotError(f"{shown} failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout


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


class _Kept:
    """Copies of what goes, in a new folder of `KEPT`; none is ever removed or overwritten."""

    def __init__(self, root: Path) -> None:
        self._root = root
        made = [int(path.name) for path in (root / KEPT).glob("*") if path.name.isdecimal()]
        self._folder = f"{KEPT}/{max(made, default=0) + 1}"
        self.paths: list[str] = []

    def add(self, path: str) -> None:
        source = self._root / path
        if source.is_symlink() or source.is_file():
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


def _digest(path: Path) -> str:
    if path.is_symlink():
        return f"link {path.readlink()}"
    if not path.is_file():
        return "missing"
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
        elif not _same(Path(entry.path), target / name):
            (target / name).unlink(missing_ok=True)
            _link_or_copy(Path(entry.path), target / name)
    shutil.copystat(source, target)


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
