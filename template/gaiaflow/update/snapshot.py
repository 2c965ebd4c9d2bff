#!/usr/bin/env python3
"""Save a project before an update, to restore it byte by byte.

Run as a program, this undoes the update. Its copy `.gaiaflow/update/undo.py` must work even if the
framework itself is full of conflicts: import nothing from it. Standard library only.
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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

FOLDER = ".gaiaflow/update"
KEPT = ".gaiaflow/kept"
MISSING = "missing"
WRITTEN_THROUGH = {".env", "uv.lock", "pixi.lock"}  # by programs that follow links
DRAFT = ".gaiaflow-draft"  # a file that is being written, beside the one it replaces
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
    """The update can't be undone like this. The message says what to do instead."""


@dataclass
class Record:
    """What an update has done so far: `state.json`.

    Releases read each other's records: fields keep their meaning, and new ones have defaults.
    """

    version: int = 1
    phase: str = ""  # "started", "merged" or "finished"; empty without an update
    head: str = ""  # the commit before the update
    paths: list[str] = field(default_factory=list)  # what is saved, including missing files
    written: dict[str, str] = field(default_factory=dict)  # by the update: path and hash
    environments: list[str] = field(default_factory=list)  # folders with a copy
    conflicts: list[str] = field(default_factory=list)
    untracked: list[str] = field(default_factory=list)  # only 0.4.0 reads it

    @classmethod
    def read(cls, file: Path) -> Record:
        """Read a record from a file; without the file, return an empty one."""
        if not file.is_file():
            return cls()
        known = {each.name for each in fields(cls)}
        found = json.loads(file.read_text(encoding="utf-8"))
        return cls(**{name: value for name, value in found.items() if name in known})


class Snapshot:
    """Copies of what an update changes, in `.gaiaflow/update`, with a record of the update."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / FOLDER
        self._files = self.folder / "files"
        self._state = self.folder / "state.json"
        self.record = Record.read(self._state)

    def __bool__(self) -> bool:
        return bool(self.record.phase)

    @classmethod
    def prepare(cls, root: Path) -> Snapshot:
        """Create the folder for an update that has not changed anything yet."""
        made = cls(root)
        made.discard()
        made._files.mkdir(parents=True)
        (made.folder / ".gitignore").write_text("*\n")
        return made

    @classmethod
    def take(cls, root: Path, paths: Iterable[str]) -> Snapshot:
        """Save these paths (files or folders, relative), git's index, and the current commit."""
        made = cls.prepare(root)
        made.begin()
        made.cover(*paths)
        return made

    def begin(self) -> None:
        """Record git's index and commit; keep what has been saved before."""
        shutil.copyfile(__file__, self.folder / "undo.py")
        shutil.copyfile(self._index(), self._saved_index)
        self.save(phase="started", head=self.head())

    def cover(self, *paths: str) -> None:
        """Save more paths before something changes them."""
        for path in dict.fromkeys(paths):
            if any(path == known or path.startswith(f"{known}/") for known in self.record.paths):
                continue
            for name in files_below(self.root, path):
                if is_there(place(self.root, name)):
                    copy(place(self.root, name), self._files / name)
            self.record.paths.append(path)
        self.save()

    def cover_environment(self, path: str) -> None:
        """Save a folder of packages, which programs change in place.

        Files with several hard links (uv and conda link packages to their caches) get another
        one: no program changes them in place because that would corrupt the caches. Other files
        are copied, and across file systems all are.
        """
        source, target = self.root / path, self.folder / "environments" / path
        if path in self.record.environments or not source.is_dir():
            return
        shutil.rmtree(target, ignore_errors=True)  # left by an interrupted copy
        mirror(source, target)
        self.record.environments.append(path)
        self.save()

    def saved(self, path: str) -> bytes | None:
        """The content of a file before the update; None if it did not exist."""
        file = self._files / path
        return file.read_bytes() if file.is_file() else None

    def wait(self) -> None:
        """Wait until background work of an update no longer writes here."""
        if self.folder.is_dir():
            # Where files can't be locked, there is no background work.
            with self.lock.open("a") as lock, contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)

    @property
    def lock(self) -> Path:
        """The file that is locked while background work writes here."""
        return self.folder / "lock"

    def save(self, **changes: Any) -> None:
        """Change the record; write it completely or not at all."""
        self.record = replace(self.record, **changes)
        draft = self._state.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self.record), indent=2), encoding="utf-8")
        draft.replace(self._state)

    def plan(self, digests: Mapping[str, str]) -> None:
        """Record what is about to be written, to tell it from other work after an interruption.

        `restore` brings back only these files, and keeps a copy of those with other content.
        """
        self.record.written.update(digests)
        self.save()

    def record_written(self, paths: Iterable[str]) -> None:
        """Record files as the update has written them."""
        self.plan({path: digest(place(self.root, path)) for path in paths})

    def head(self) -> str:
        """The commit that is checked out now."""
        return self._git("rev-parse", "--verify", "--quiet", "HEAD").decode().strip()

    def changed(self) -> list[str]:
        """The files that the update wrote and that differ from their state before it."""
        return [name for name in self.record.written if not self._is_as_saved(name)]

    def committed(self) -> list[str]:
        """The files that the update wrote and that have been committed since.

        Raises:
            SnapshotError: git no longer has the commit before the update.
        """
        if not self or self.head() == self.record.head:
            return []
        trees = ("-r", "-z", "--name-only", "--relative", self.record.head, "HEAD")
        listed = self._git("diff-tree", *trees).split(b"\0")
        return sorted(set(map(os.fsdecode, listed)) & self.record.written.keys())

    def restore(self) -> list[str]:
        """Restore the files that the update wrote, and their entries in git's index.

        Files that have changed since are first copied to `KEPT`.

        Returns:
            The copies in `KEPT`, relative to the project.
        """
        self._remove_drafts()
        kept = Kept(self.root)
        for name in self.changed():
            file = place(self.root, name)
            if digest(file) != self.record.written[name]:
                kept.add(name)
            if is_there(self._files / name):
                copy(self._files / name, file)
            else:
                file.unlink()
                remove_empty_folders(self.root, file.parent)
        self._restore_index()
        return kept.paths

    def _remove_drafts(self) -> None:
        """Remove what an update that was killed left of the file that it was writing."""
        for folder in {place(self.root, name).parent for name in self.record.written}:
            if is_there(folder / DRAFT):
                (folder / DRAFT).unlink()
            if folder.is_dir():
                remove_empty_folders(self.root, folder)

    def restore_environments(self) -> None:
        """Restore the contents of environments, which may be links or mounts."""
        for path in self.record.environments:
            mirror(self.folder / "environments" / path, self.root / path)

    def discard(self) -> None:
        """Delete what is saved."""
        self.wait()
        self.record = Record()
        self._state.unlink(missing_ok=True)  # first: a partial snapshot is useless
        shutil.rmtree(self.folder, ignore_errors=True)

    def abort(self) -> list[str]:
        """Undo the update; otherwise like `restore`.

        Raises:
            SnapshotError: there is no update, or it has been committed.
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
        """Say what to do when the update, or a part of it, has been committed."""
        head = self.record.head
        saved = f"The replaced files are in {FOLDER}/files/ until the next update."
        if not self._has("merge-base", "--is-ancestor", head, "HEAD"):
            return (
                f"The update began at commit {head[:12]}, which is not an ancestor of the current "
                f"commit, and {paths[0]} is different here.\n"
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
            f"The update has been committed ({shown}). Undo it with git:\n{listed}\n"
            f"Before that, see what else a commit contains: git show --stat COMMIT\n{saved}"
        )

    def _is_as_saved(self, name: str) -> bool:
        now, saved = place(self.root, name), self._files / name
        return _same(now, saved) or not (is_there(now) or is_there(saved))

    def _restore_index(self) -> None:
        """Restore git's index for the files of the update; leave other staged files alone."""
        prefix = self._git("rev-parse", "--show-prefix").decode().strip()
        ours = {os.fsencode(prefix + name) for name in self.record.written}

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
                lines += [b"0 %s\t%s" % (b"0" * len(self.record.head), name)]
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
        """Whether a git command succeeds."""
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
    """The environment without what points git elsewhere, as in a hook or `git rebase --exec`."""
    return {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}


def files_below(root: Path, path: str) -> list[str]:
    """All files and links below a path, relative to the root, without caches.

    A linked folder counts as a link: its contents are not the project's. But `.gaiaflow` belongs
    to the project even if it is a link.
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
    """The file that an update changes for a path: a link's target if programs follow the link."""
    file = root / path
    return file.resolve() if path in WRITTEN_THROUGH else file


class Kept:
    """Copies of files before they are replaced, in a new folder of `KEPT` that is never removed."""

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
    """Copy a file or a link unchanged, with times and mode; completely or not at all."""
    with whole(target) as draft:
        shutil.copy2(source, draft, follow_symlinks=False)


@contextlib.contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A path to write to, which then replaces the target; if writing fails, nothing does.

    After a process was killed, `Snapshot.restore` removes what it had written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.parent / DRAFT
    draft.unlink(missing_ok=True)
    try:
        yield draft
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
    """Whether a file or a link exists, even a broken link."""
    return path.is_symlink() or path.is_file()


def digest(path: Path) -> str:
    """What the record stores for a path: the hash of a file, or the target of a link."""
    if path.is_symlink():
        return f"link {path.readlink()}"
    if not path.is_file():
        return MISSING
    return digest_of(path.read_bytes())


def digest_of(data: bytes) -> str:
    """The hash of a file's content."""
    return hashlib.sha256(data).hexdigest()


def mirror(source: Path, target: Path) -> None:
    """Make a folder the same as another; touch only what differs.

    Rename nothing: the two may be on different file systems, and either may be a link. An
    interrupted call can be repeated.
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
        elif not _is_copy(Path(entry.path), target / name):
            (target / name).unlink(missing_ok=True)
            _link_or_copy(Path(entry.path), target / name)
    shutil.copystat(source, target)


def _is_copy(source: Path, target: Path) -> bool:
    """Whether a file has the time and content of another; comparing times is faster."""
    if not is_there(target) or source.lstat().st_mtime_ns != target.lstat().st_mtime_ns:
        return False
    return _same(source, target)


def _link_or_copy(source: Path, target: Path) -> None:
    if not source.is_symlink() and source.stat().st_nlink > 1:
        with contextlib.suppress(OSError):  # another file system, or one without hard links
            os.link(source, target)
            return
    shutil.copy2(source, target, follow_symlinks=False)


def remove_empty_folders(root: Path, folder: Path) -> None:
    """Remove a folder that contains nothing but a cache, and such parents in the project."""
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
