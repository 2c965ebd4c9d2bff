"""`ls`, `get` and `put` of `mlops_manager.py`: copy files to and from the object store."""

from __future__ import annotations

import threading
import time
from pathlib import Path, PurePosixPath

from plumbum import cli

from gaiaflow import console
from gaiaflow.cli import common
from gaiaflow.objects import Bucket, Object
from gaiaflow.project.errors import GaiaflowError

_PATIENCE = 2.0  # seconds until a transfer shows its progress
_UNITS = ("B", "kB", "MB", "GB", "TB")


class List(cli.Application):
    """List the objects in the store, or those whose keys start with PREFIX"""

    as_json = cli.Flag("--json", help="print a list of {key, size, modified}")

    def main(self, prefix: str = "") -> int:
        bucket = _bucket()
        prefix = bucket.key(prefix)
        found = bucket.objects(prefix)
        if self.as_json:
            console.print_json([each.as_json() for each in found])
            return 0
        if prefix and not found:
            raise bucket.missing(prefix)
        for each in found:
            moment = each.modified.astimezone().strftime("%Y-%m-%d %H:%M")
            line = f"{size(each.size):>9}  {moment}  {each.key}"
            console.out.print(line, markup=False, soft_wrap=True)
        if not found:
            console.err.print("The object store is empty.")
        return 0


class Get(cli.Application):
    """Copy an object to FILE, or everything below KEY/ to a folder; default: the current folder"""

    force = cli.Flag(["-f", "--force"], help="overwrite files that exist")

    def main(self, key: str, file: str = "") -> int:
        bucket = _bucket()
        copies = _copies(bucket, bucket.key(key), file)
        taken = [path for _, path in copies if path.exists() or path.is_symlink()]
        if taken and not self.force:
            raise GaiaflowError(
                f"{taken[0]} exists.\nTo overwrite it, add --force; to keep it, name another file: "
                "get KEY FILE"
            )
        with console.Progress() as progress:
            for found, path in copies:
                path.parent.mkdir(parents=True, exist_ok=True)
                with Transfer(progress, found.key, found.size) as transfer:
                    bucket.get(found.key, path, transfer.moved)
                console.out.print(str(path), markup=False, soft_wrap=True)
        return 0


class Put(cli.Application):
    """Copy FILE to the object store as KEY; if KEY ends with a slash, the file keeps its name"""

    force = cli.Flag(["-f", "--force"], help="overwrite an object that exists")

    def main(self, file: str, key: str) -> int:
        path = Path(file)
        if not path.is_file():
            what = "is a folder: put its files one by one" if path.is_dir() else "does not exist"
            raise GaiaflowError(f"{file} {what}.")
        bucket = _bucket()
        key = bucket.key(key)
        if not key or key.endswith("/"):
            key += path.name
        if not self.force and bucket.find(key):
            raise GaiaflowError(f"s3://{bucket.name}/{key} exists.\nTo overwrite it, add --force.")
        with (
            console.Progress() as progress,
            Transfer(progress, key, path.stat().st_size) as transfer,
        ):
            bucket.put(path, key, transfer.moved)
        console.out.print(f"s3://{bucket.name}/{key}", markup=False, soft_wrap=True)
        return 0


def _bucket() -> Bucket:
    return Bucket(common.project())


def _copies(bucket: Bucket, key: str, file: str) -> list[tuple[Object, Path]]:
    """The objects that a key stands for, each with its target file."""
    if key and not key.endswith("/") and (found := bucket.find(key)):
        into = not file or file.endswith("/") or Path(file).is_dir()
        return [(found, Path(file, _inside(key.rpartition("/")[2])) if into else Path(file))]
    folder = f"{key.rstrip('/')}/" if key else ""
    below = [found for found in bucket.objects(folder) if not found.key.endswith("/")]
    if not below:
        raise bucket.missing(key)
    top = Path(file or PurePosixPath(folder).name or bucket.name)
    return [(found, top / _inside(found.key.removeprefix(folder))) for found in below]


def _inside(name: str) -> PurePosixPath:
    """Turn a part of a key into a relative path; keys may contain any characters."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        raise GaiaflowError(f"{name!r} can't be the name of a file here.\nName one: get KEY FILE")
    return path


class Transfer:
    """Shows the progress of a transfer that takes long."""

    def __init__(self, progress: console.Progress, name: str, total: int) -> None:
        self._progress, self._name, self._total = progress, name, total
        self._done = 0
        self._shown = False
        self._started = time.monotonic()
        self._mutex = threading.Lock()

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if self._shown:
            state = "failed" if error else "done"
            self._progress.notify(self._name, state, size(self._done))

    def moved(self, count: int) -> None:
        """Count transferred bytes."""
        with self._mutex:
            self._done += count
            if time.monotonic() - self._started > _PATIENCE:
                self._shown = True
                how_far = f"{size(self._done)} of {size(self._total)}"
                self._progress.notify(self._name, "running", how_far)


def size(count: float) -> str:
    """Format a number of bytes for people."""
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
