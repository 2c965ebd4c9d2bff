"""Small files in a folder, or under a prefix of the object store: the same few operations."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit


class Folder(Protocol):
    """Files by name. A file is there whole or not at all."""

    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes | None: ...

    def write(self, name: str, data: bytes) -> None: ...

    def remove(self, name: str) -> None: ...


def folder(place: str | Path) -> Folder:
    """A folder of this computer, or "s3://bucket/prefix"."""
    if str(place).startswith("s3://"):
        found = urlsplit(str(place))
        return _Prefix(found.netloc, found.path.strip("/"))
    return _Directory(Path(place))


class _Directory:
    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        found = self._path.iterdir() if self._path.exists() else ()
        return sorted(path.name for path in found if path.is_file() and path.suffix != ".part")

    def read(self, name: str) -> bytes | None:
        path = self._path / name
        return path.read_bytes() if path.exists() else None

    def write(self, name: str, data: bytes) -> None:
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
            part.write(data)
        Path(part.name).replace(path)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)


class _Prefix:
    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3

        self._client: Any = boto3.client("s3")
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""

    def names(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
        )
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        # SeaweedFS lists an emptied folder for a while, as an object without a name.
        return sorted(key.removeprefix(self._prefix) for key in keys if key != self._prefix)

    def read(self, name: str) -> bytes | None:
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        except (self._client.exceptions.NoSuchKey, self._client.exceptions.NoSuchBucket):
            return None
        data: bytes = found["Body"].read()
        return data

    def write(self, name: str, data: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)

    def remove(self, name: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)
