"""What the map can't show, and why: each message is a sentence for people."""

from __future__ import annotations


class MapError(Exception):
    """Something can't be shown."""

    status = 502


class Missing(MapError):
    """Something does not exist."""

    status = 404


class StoreDown(MapError):
    """The object store does not answer."""

    status = 503

    def __init__(self) -> None:
        """Say how to start it."""
        super().__init__(
            "The object store does not answer. "
            "Start it: `python3 mlops_manager.py start --service object-store`"
        )
