"""Whole files from and to the project's object store, or a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit


@contextmanager
def delivered(destination: str | Path) -> Iterator[Path]:
    """A path to write a file to, which then appears at its destination, whole or not at all.

    Args:
        destination: a path, or "s3://bucket/key". Objects are uploaded in parts.
    """
    if not str(destination).startswith("s3://"):
        path = Path(destination)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            yield Path(folder, path.name)
            Path(folder, path.name).replace(path)
        return
    import boto3

    place = urlsplit(str(destination))
    with tempfile.TemporaryDirectory() as folder:
        yield (path := Path(folder, "file"))
        # If this fails, boto3 removes the parts that it has sent.
        boto3.client("s3").upload_file(str(path), place.netloc, place.path.lstrip("/"))


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
