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

from gaiaflow.errors import GaiaflowError
from gaiaflow.settings import Project

_START_IT = "Start it: python3 mlops_manager.py start --service object-store"
_COMPARED = 5000  # keys with which one that is not there is compared
_CODES = {"404": "NoSuchKey", "403": "AccessDenied"}  # of an answer without a body

# Called with the number of bytes that have been moved since the last call, from any thread.
Moved = Callable[[int], None]


@dataclass(frozen=True)
class Object:
    """What is stored under a key."""

    key: str
    size: int
    modified: datetime

    def as_json(self) -> dict[str, str | int]:
        """The same for a script."""
        return {"key": self.key, "size": self.size, "modified": self.modified.isoformat()}


def connect(project: Project) -> Any:
    """An S3 client of the project's store, whatever the shell has set for others."""
    return boto3.client(
        "s3",
        endpoint_url=project.url("OBJECT_STORE_PORT"),
        aws_access_key_id=project.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=project.env["AWS_SECRET_ACCESS_KEY"],
        region_name=project.env["AWS_DEFAULT_REGION"],
        config=Config(
            proxies={},  # no proxy between us and ourselves
            connect_timeout=5,
            retries={"total_max_attempts": 3},
            s3={"addressing_style": "path"},
        ),
    )


class Bucket:
    """The bucket of a project. What goes wrong with the store is a GaiaflowError that says so."""

    def __init__(self, project: Project) -> None:
        self.name = project.env["S3_BUCKET"]
        self.url = project.url("OBJECT_STORE_PORT")
        self._client = connect(project)

    def key(self, text: str) -> str:
        """The key that somebody means, who may have copied an address from a log."""
        own = f"s3://{self.name}/"
        if text.startswith("s3://") and not f"{text}/".startswith(own):
            raise GaiaflowError(f"{text} is in another bucket: this project's is s3://{self.name}.")
        return text.removeprefix(own.rstrip("/")).lstrip("/")

    def objects(self, prefix: str = "") -> list[Object]:
        """All objects whose keys begin like this, by key."""
        pages = self._client.get_paginator("list_objects_v2")
        with self._answering():
            return [
                Object(item["Key"], item["Size"], item["LastModified"])
                for page in pages.paginate(Bucket=self.name, Prefix=prefix)
                for item in page.get("Contents", [])
            ]

    def find(self, key: str) -> Object | None:
        """The object of this key, if there is one."""
        try:
            with self._answering():
                head = self._client.head_object(Bucket=self.name, Key=key)
        except _NoSuchKey:
            return None
        return Object(key, head["ContentLength"], head["LastModified"])

    def get(self, key: str, file: Path, moved: Moved) -> None:
        """Write an object into a file, which appears when it is complete."""
        with _complete(file) as output, self._answering():
            self._client.download_fileobj(self.name, key, output, Callback=moved)

    def put(self, file: Path, key: str, moved: Moved) -> None:
        """Store a file."""
        kind, _ = mimetypes.guess_type(file.name)
        extra = {"ContentType": kind} if kind else {}
        with file.open("rb") as content, self._answering():
            self._client.upload_fileobj(content, self.name, key, ExtraArgs=extra, Callback=moved)

    def missing(self, key: str) -> GaiaflowError:
        """What to say of a key that is not there: those that may have been meant."""
        keys = [found.key for found in self.objects()][-_COMPARED:]
        name = PurePosixPath(key).name
        same_name = [other for other in reversed(keys) if PurePosixPath(other).name == name]
        folders = {f"{folder}/" for k in keys for folder in PurePosixPath(k).parents} - {"./"}
        near = difflib.get_close_matches(key, [*keys, *folders], n=2, cutoff=0.5)
        meant = (same_name or near)[:2]
        hint = f"\nDid you mean {' or '.join(meant)}?" if meant else ""
        return GaiaflowError(
            f"There is no object {key!r} in s3://{self.name}.{hint}\n"
            "All that there are: python3 mlops_manager.py ls"
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
                    "The object store refuses the keys in .env: were they changed while it ran?\n"
                    "Restart it: python3 mlops_manager.py restart"
                ) from None
            raise GaiaflowError(f"The object store says: {error}") from None
        except (BotoCoreError, Boto3Error, RetriesExceededError) as error:
            raise GaiaflowError(f"The object store at {self.url} failed: {error}") from None


class _NoSuchKey(GaiaflowError):
    """There is no object of this key."""


@contextlib.contextmanager
def _complete(file: Path) -> Iterator[IO[bytes]]:
    """A file to write to that takes its name at the end, and leaves nothing if there is none."""
    part = file.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as output:
            yield output
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
