"""Progress: a line when a step begins and one with its seconds when it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(what: str) -> Iterator[None]:
    say(what)
    start = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - start:.1f} s")


def say(text: str) -> None:
    sys.stderr.write(f"engine: {text}\n")  # one write: builds run side by side
    sys.stderr.flush()
