"""Requests that can't be answered."""

from __future__ import annotations


class Refused(Exception):
    """A request that can't be answered.

    Args:
        status: the HTTP status.
        message: what is wrong, and what to do.
        headers: of the answer.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
