"""Whole files from and to the project's object store, or a folder."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from gaiaflow.rasters.errors import RasterError

_PREFIX, _LOCK = ".gaiaflow-raster-", "lock"


@contextmanager
def delivered(destination: str | Path) -> Iterator[Path]:
    """A path to write a file to, which then appears at its destination, whole or not at all.

    Args:
        destination: a path, or "s3://bucket/key". Objects are uploaded in parts.

    Raises:
        RasterError: the store does not take the file.
    """
    if not str(destination).startswith("s3://"):
        path = Path(destination)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _workspace(path.parent) as folder:
            yield folder / path.name
            (folder / path.name).replace(path)
        return
    import boto3
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    place = urlsplit(str(destination))
    with _workspace(Path(tempfile.gettempdir())) as folder:
        yield (file := folder / "file")
        try:
            # If this fails, boto3 removes the parts that it has sent.
            boto3.client("s3").upload_file(str(file), place.netloc, place.path.lstrip("/"))
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise RasterError(f"{destination}: the store does not take it: {error}") from error


@contextmanager
def fetched(source: str | Path) -> Iterator[str]:
    """A path or URL to read a file from: for "s3://bucket/key", that of a temporary copy."""
    if not str(source).startswith("s3://"):
        yield str(source)
        return
    import boto3

    place = urlsplit(str(source))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(place.path).name)
        boto3.client("s3").download_file(place.netloc, place.path.lstrip("/"), str(path))
        yield str(path)


@contextmanager
def _workspace(parent: Path) -> Iterator[Path]:
    """A temporary folder. Those that killed processes have left there are removed."""
    for old in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        with suppress(OSError), old.open("r+") as lock:  # of another user, or gone meanwhile
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old.parent)
    with tempfile.TemporaryDirectory(dir=parent, prefix=_PREFIX) as name:
        folder = Path(name)
        with (folder / "new").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Only now others may look at it.
            (folder / "new").rename(folder / _LOCK)
            yield folder
