"""Tell a person what is waited for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

_PATIENCE = 2.0  # seconds


@contextlib.contextmanager
def waiting(say: Callable[[str], None], what: str) -> Iterator[None]:
    """Say what is waited for, once, if it takes longer than two seconds."""
    timer = threading.Timer(_PATIENCE, say, [f"waiting: {what}"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
