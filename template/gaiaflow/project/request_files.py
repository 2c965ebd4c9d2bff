"""The files of serving's request log: what their names say, and which requests are in them.

Serving writes Parquet; the commands, whose environment can't read it, look for requests by this.
Standard library only.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

FOLDER = "serving/"
IDS = "gaiaflow.request_ids"  # the key of Parquet's metadata that has the ids of all requests

_KEY = re.compile(
    r"serving/(?P<model>.+)/(?P<day>\d{4}-\d{2}-\d{2})/(?P<time>\d{6})-"
    r"(v(?P<version>[^-]+)-(?P<requests>\d+)-)?\w+\.parquet"
)


@dataclass(frozen=True)
class RequestFile:
    """A file of the log: the model, when it was written (UTC), and by its name what is in it.

    Files that were written before 0.7.1 say neither the version nor how many requests they have.
    """

    key: str
    model: str
    written: str  # ISO 8601
    version: str | None
    requests: int | None

    @property
    def day(self) -> str:
        return self.written[:10]


def prefix(model: str) -> str:
    """Where the files of a registered model are, in folders by day."""
    return f"{FOLDER}{model}/"


def new_key(model: str, version: str, requests: int, now: datetime) -> str:
    """The key of a new file; `now` is in UTC."""
    name = f"{now:%H%M%S}-v{version}-{requests}-{secrets.token_hex(4)}.parquet"
    return f"{prefix(model)}{now:%Y-%m-%d}/{name}"


def parse(key: str) -> RequestFile | None:
    """What a key says; None if it is not that of a file of the log."""
    found = _KEY.fullmatch(key)
    if not found:
        return None
    hour, minute, second = (found["time"][at : at + 2] for at in (0, 2, 4))
    requests = found["requests"]
    return RequestFile(
        key,
        found["model"],
        f"{found['day']}T{hour}:{minute}:{second}+00:00",
        found["version"],
        int(requests) if requests else None,
    )


def ids_of(request_ids: Iterable[str]) -> str:
    """The value of a file's metadata `IDS`: a line for each request."""
    return "\n".join(["", *request_ids, ""])


def has_request(content: bytes, request_id: str) -> bool:
    """Whether a file has a request with this id. Those that were written before 0.7.1 say no.

    Parquet's metadata is at the end of a file, before its length (4 bytes) and "PAR1"; texts in it
    are as they are.
    """
    length = int.from_bytes(content[-8:-4], "little")
    return f"\n{request_id}\n".encode() in content[-8 - length : -8]
