"""The files of serving's request log: what their names say, and which requests are in them.

Serving writes Parquet; the commands, whose environment can't read it, look for requests by this.
Standard library only.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime

FOLDER = "serving/"

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


def has_request(content: bytes, request_id: str) -> bool:
    """Whether a file has a request with this id.

    Its column of ids is not compressed, so they stand there in Parquet's plain encoding: the length
    in four bytes, then the text.
    """
    text = request_id.encode()
    return len(text).to_bytes(4, "little") + text in content
