"""The cores that this process may use, and threads that occupy them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container or a pod: microseconds, and of how many


def cores() -> int:
    """The cores that this process may use: a container's limit counts, and pinning."""
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        limit = math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no container, or "max"
        limit = free or 1
    return max(min(free or 1, limit), 1)


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads in which mathematical libraries start no more threads.

    Otherwise, those of OpenBLAS and OpenMP would compete with these for the cores.
    """
    from threadpoolctl import threadpool_limits

    limit = {"initializer": threadpool_limits, "initargs": (1,)}  # OpenMP's is one of each thread
    with threadpool_limits(1), ThreadPoolExecutor(count, **limit) as pool:
        yield pool
