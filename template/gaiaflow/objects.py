"""The objects in the project's bucket: list them, get files out, put files in."""

from __future__ import annotations

import contextlib
import difflib
import mimetypes
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from s3transfer.exceptions import RetriesExceededError

from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project

_START_IT = "Start it: python3 mlops_manager.py start --service object-store"
_COMPARED = 5000  # keys to search for similar ones
_CODES = {"404": "NoSuchKey", "403": "AccessDenied"}  # for answers without a body

# Called from any thread with the number of bytes transferred since the last call.
Moved = Callable[[int], None]


@dataclass(frozen=True)
class Object:
    """An object in the bucket, without its content."""

    key: str
    size: int
    modified: datetime

    def as_json(self) -> dict[str, str | int]:
        """Values for JSON output."""
        return {"key": self.key, "size": self.size, "modified": self.modified.isoformat()}


def connect(project: Project) -> Any:
    """An S3 client for the project's store that ignores settings of the shell."""
    return boto3.client(
        "s3",
        endpoint_url=project.url("OBJECT_STORE_PORT"),
        aws_access_key_id=project.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=project.env["AWS_SECRET_ACCESS_KEY"],
        region_name=project.env["AWS_DEFAULT_REGION"],
        config=Config(
            proxies={},  # never use a proxy for our own server
            connect_timeout=5,
            retries={"total_max_attempts": 3},
            s3={"addressing_style": "path"},
        ),
    )


class Bucket:
    """The bucket of a project. Failures of the store raise GaiaflowError."""

    def __init__(self, project: Project) -> None:
        self.name = project.env["S3_BUCKET"]
        self.url = project.url("OBJECT_STORE_PORT")
        self._client = connect(project)

    def key(self, text: str) -> str:
        """Convert an address such as s3://bucket/key, perhaps copied from a log, to a key."""
        own = f"s3://{self.name}/"
        if text.startswith("s3://") and not f"{text}/".startswith(own):
            raise GaiaflowError(f"{text} is not in this project's bucket, s3://{self.name}.")
        return text.removeprefix(own.rstrip("/")).lstrip("/")

    def objects(self, prefix: str = "") -> list[Object]:
        """List objects whose keys start with a prefix, sorted by key."""
        pages = self._client.get_paginator("list_objects_v2")
        with self._answering():
            return [
                Object(item["Key"], item["Size"], item["LastModified"])
                for page in pages.paginate(Bucket=self.name, Prefix=prefix)
                for item in page.get("Contents", [])
            ]

    def level(self, prefix: str) -> list[str]:
        """List keys that start with a prefix; of those in folders below, only the folder's."""
        with self._answering():
            page = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix, Delimiter="/")
        folders = [found["Prefix"] for found in page.get("CommonPrefixes", [])]
        return sorted([*folders, *(found["Key"] for found in page.get("Contents", []))])

    def find(self, key: str) -> Object | None:
        """Look up an object by key."""
        try:
            with self._answering():
                head = self._client.head_object(Bucket=self.name, Key=key)
        except _NoSuchKey:
            return None
        return Object(key, head["ContentLength"], head["LastModified"])

    def get(self, key: str, file: Path, moved: Moved) -> None:
        """Download an object to a file, which appears only when it is complete."""
        with _complete(file) as output, self._answering():
            self._client.download_fileobj(self.name, key, output, Callback=moved)

    def read(self, key: str) -> bytes | None:
        """The content of a small object; None if there is none with this key."""
        try:
            with self._answering():
                content = self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
        except _NoSuchKey:
            return None
        return bytes(content)

    def put(self, file: Path, key: str, moved: Moved) -> None:
        """Upload a file."""
        kind, _ = mimetypes.guess_type(file.name)
        extra = {"ContentType": kind} if kind else {}
        with file.open("rb") as content, self._answering():
            self._client.upload_fileobj(content, self.name, key, ExtraArgs=extra, Callback=moved)

    def missing(self, key: str) -> GaiaflowError:
        """The error for a key that does not exist, with similar ones."""
        keys = [found.key for found in self.objects()][-_COMPARED:]
        name = PurePosixPath(key).name
        same_name = [other for other in reversed(keys) if PurePosixPath(other).name == name]
        folders = {f"{folder}/" for k in keys for folder in PurePosixPath(k).parents} - {"./"}
        near = difflib.get_close_matches(key, [*keys, *folders], n=2, cutoff=0.5)
        meant = (same_name or near)[:2]
        hint = f"\nDid you mean {' or '.join(meant)}?" if meant else ""
        return GaiaflowError(
            f"There is no object {key!r} in s3://{self.name}.{hint}\n"
            "List all objects: python3 mlops_manager.py ls"
        )

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (NoConnection, HTTPClientError) as error:
            raise GaiaflowError(
                f"The object store does not answer at {self.url}.\n{_START_IT}"
            ) from error
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            code = _CODES.get(code, code)
            if code == "NoSuchKey":
                raise _NoSuchKey(str(error)) from None
            if code in {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}:
                raise GaiaflowError(
                    "The object store rejects the keys in .env: did they change while it was "
                    "running?\n"
                    "Restart it: python3 mlops_manager.py restart"
                ) from None
            raise GaiaflowError(f"The object store failed: {error}") from None
        except (BotoCoreError, Boto3Error, RetriesExceededError) as error:
            raise GaiaflowError(f"The object store at {self.url} failed: {error}") from None


class _NoSuchKey(GaiaflowError):
    """There is no object with this key."""


@contextlib.contextmanager
def _complete(file: Path) -> Iterator[IO[bytes]]:
    """Open a file that gets its name when it is complete, and is removed on failure."""
    part = file.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as output:
            yield output
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
