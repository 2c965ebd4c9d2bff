"""Merge a project with a new release, file by file.

Copier's own merge loses binary files, ignored files, and edits to files that were renamed or
dropped. An update merges three trees instead: the old release as generated (base), the project
(ours) and the new release as generated (theirs).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from plumbum import local

from gaiaflow.update import snapshot
from gaiaflow.update.snapshot import files_below, remove_empty_folders

FILE, PROGRAM, LINK = "100644", "100755", "120000"  # git's modes
SCRIPT = b"#!"


@dataclass(frozen=True)
class Entry:
    """A file, a program (an executable file), or a link, whose data is its target."""

    mode: str
    data: bytes

    @property
    def is_text(self) -> bool:
        return self.mode != LINK and b"\0" not in self.data


Tree = dict[str, Entry]


@dataclass
class Merge:
    """The merged tree, and what happened to the paths that the release changes."""

    tree: Tree
    updated: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)  # with the changes of both sides
    conflicts: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # dropped by the release, edited by the user
    gone: list[str] = field(default_factory=list)  # changed by the release, deleted by the user


def read_tree(root: Path, paths: Iterable[str]) -> Tree:
    """The files below these paths of a folder."""
    return {name: read_entry(root / name) for path in paths for name in files_below(root, path)}


def read_entry(path: Path) -> Entry:
    """Read a file or a link from disk."""
    if path.is_symlink():
        return Entry(LINK, os.fsencode(path.readlink()))
    program = path.stat().st_mode & stat.S_IXUSR
    return Entry(PROGRAM if program else FILE, path.read_bytes())


def digest_of(entry: Entry | None) -> str:
    """The digest of an entry in a snapshot's record."""
    if entry is None:
        return snapshot.MISSING
    if entry.mode == LINK:
        return f"link {os.fsdecode(entry.data)}"
    return snapshot.digest_of(entry.data)


def write_tree(
    root: Path, before: Tree, after: Tree, aside: Callable[[str], object] = lambda path: None
) -> None:
    """Turn the files of one tree into those of another.

    Args:
        root: the folder.
        before: what is there.
        after: what should be there.
        aside: called with each path that changed meanwhile, before it is overwritten.

    Raises:
        OSError: a file could not be written, for example because a folder has its name.
    """
    for path in differences(before, after):
        file, entry = root / path, after.get(path)
        if snapshot.is_there(file) and read_entry(file) != before.get(path):
            aside(path)
        if entry is None:
            file.unlink(missing_ok=True)
            remove_empty_folders(root, file.parent)
        else:
            _write_entry(file, entry)


def differences(before: Tree, after: Tree) -> list[str]:
    """The paths that differ; removed ones come first, to make room for others."""
    changed = [path for path in before | after if before.get(path) != after.get(path)]
    return sorted(changed, key=lambda path: path in after)


def _write_entry(path: Path, entry: Entry) -> None:
    """Write a file or a link, completely or not at all."""
    with snapshot.whole(path) as draft:
        if entry.mode == LINK:
            draft.symlink_to(os.fsdecode(entry.data))
        else:
            draft.write_bytes(entry.data)
            if path.is_file() and not path.is_symlink():
                draft.chmod(stat.S_IMODE(path.stat().st_mode))
            mode = stat.S_IMODE(draft.stat().st_mode)
            if bool(mode & stat.S_IXUSR) != (entry.mode == PROGRAM):
                draft.chmod(mode | 0o111 if entry.mode == PROGRAM else mode & ~0o111)


def merge(base: Tree, ours: Tree, theirs: Tree, release: str) -> Merge:
    """Apply the changes from base to theirs to our tree.

    A change on one side is taken; changes on both sides are merged line by line. If that fails, a
    text file gets both versions between markers, and any other file stays ours. Line endings don't
    count as changes: git may have converted those of a whole project.
    """
    result = Merge(dict(ours))
    for path in sorted(base.keys() | theirs.keys()):
        old, new, our = base.get(path), theirs.get(path), ours.get(path)
        if our and our != old:
            old = our if same(our, old) else old
            if new and our.is_text and new.is_text:
                new = Entry(new.mode, with_ends_of(our.data, new.data))
        if old == new or our == new:
            continue  # no change, or the same on both sides
        if our == old:
            if new is None:
                del result.tree[path]
                result.removed.append(path)
            else:
                result.tree[path] = new
                (result.updated if old else result.added).append(path)
        elif our is None:
            result.gone.append(path)
        elif new is None:
            result.kept.append(path)
        else:
            entry, clean = merge_entry(old, our, new, release)
            result.tree[path] = entry
            (result.merged if clean else result.conflicts).append(path)
    return result


def merge_entry(old: Entry | None, our: Entry, new: Entry, release: str) -> tuple[Entry, bool]:
    """Merge one file; the second value is False if there is a conflict."""
    old_mode = old.mode if old else FILE
    mode = new.mode if our.mode == old_mode else our.mode
    old_data = old.data if old else b""
    if old and our.data == old_data and LINK not in {old.mode, our.mode, new.mode}:
        return Entry(mode, new.data), True
    if new.data == our.data and LINK not in {our.mode, new.mode}:
        return Entry(mode, our.data), True
    if not (our.is_text and new.is_text and (old is None or old.is_text)):
        return our, False
    data, clean = merge_lines(old_data, our.data, new.data, release)
    return Entry(mode, data), clean


def merge_lines(old: bytes, our: bytes, new: bytes, release: str) -> tuple[bytes, bool]:
    """Merge three versions of a text as git does, with our line endings."""
    if new.startswith(SCRIPT):
        our = with_ends_of(new, our)
    old, new = with_ends_of(our, old), with_ends_of(our, new)
    if our == old:
        return new, True
    with TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("ours", "base", "theirs")]
        for file, data in zip(files, (our, old, new), strict=True):
            file.write_bytes(data)
        labels = ("yours", "the release before", f"Gaiaflow {release}")
        options = [option for label in labels for option in ("-L", label)]
        merge_file = local["git"]["merge-file", "--quiet"]
        code, _, error = merge_file.run([*options, *map(str, files)], retcode=None)
        if code > 127 or code < 0:
            raise RuntimeError(f"git merge-file failed: {error.strip()}")
        return files[0].read_bytes(), code == 0


def same(one: Entry | None, other: Entry | None) -> bool:
    """Whether two files are the same except for line endings."""
    if one is None or other is None or one == other:
        return one == other
    texts = one.is_text and other.is_text and one.mode == other.mode
    return texts and same_lines(one.data, other.data)


def same_lines(one: bytes, other: bytes) -> bool:
    """Whether two texts are the same except for line endings."""
    return one.replace(b"\r\n", b"\n") == other.replace(b"\r\n", b"\n")


def with_ends_of(ours: bytes, text: bytes) -> bytes:
    """A text with our line endings, except that a script, which can't run with CRLF, has LF."""
    if _is_crlf(ours) and not text.startswith(SCRIPT):
        return text if _is_crlf(text) else text.replace(b"\n", b"\r\n")
    return text.replace(b"\r\n", b"\n") if _is_crlf(text) and b"\r\n" not in ours else text


def _is_crlf(text: bytes) -> bool:
    return b"\n" in text and text.count(b"\n") == text.count(b"\r\n")
