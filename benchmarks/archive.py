"""Twelve Sentinel-2 tiles, each mapped by a task of `landcover_batch`: time, cores and memory."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from benchmarks.common import Goal, Row, say, seconds
from benchmarks.tile import SIDE, Measured, Way
from benchmarks.workshop import PACKAGE, Workshop, marked, pss

TILES = 12
SETTING = "PARALLEL_TASKS"
AT_ONCE = (2, 4)
INTERVAL = 0.5  # seconds between two looks at the memory


@dataclass
class Usage:
    """What a project's processes have used."""

    peak: float = 0.0  # GiB, in all
    cores: float = 0.0  # of the whole machine, on average


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """All tiles by tasks, a few of them at a time, against one tile after the other alone.

    It takes minutes, so it is done once, whatever `repeat` says.
    """
    project = workshop.project
    python = str(project / ".venv" / "bin" / "python")
    folder = workshop.root / "archive"
    folder.mkdir()
    measured = Measured(folder, project)
    say(f"  archive: making {TILES} tiles and a model")
    measured.work(python, "make", str(SIDE), str(folder / "tile.tif"))
    measured.work(python, "train", PACKAGE, str(folder))
    alone = measured.seconds("alone", Way(python, "ours", folder / "tile.tif", "model"))
    say(f"  archive: a tile alone {alone:.3g}")
    found: list[Row] = []
    for count in AT_ONCE:
        _limit(project, count)
        with workshop.running():
            idle = pss(marked("GAIAFLOW_PROJECT", str(project)))
            workshop.manage(project, "run", "landcover")
            place = folder / f"by-{count}"
            measured.work(python, "archive", str(folder / "tile.tif"), str(TILES), str(place))
            conf = {"catalog": str(place / "collection.json"), "max_cloud": None}
            command = ("run", "landcover_batch", "--conf", json.dumps(conf))
            with _watched(project) as usage:
                took = seconds(partial(workshop.manage, project, *command))
        say(f"  archive: {count} at a time {took:.3g}")
        name = f"{TILES} tiles as tasks, {count} at a time"
        busy = f"{usage.cores:.2f} of {os.cpu_count()} cores busy"
        tasks = usage.peak - idle
        found += [
            Row(name, took, TILES * alone, "one after the other", note=busy),
            Row("memory of their tasks", tasks, unit="GiB", goal=Goal("value", count * 0.75)),
        ]
    return found


def _limit(project: Path, count: int) -> None:
    """Let so many tasks run at the same time."""
    env = project / ".env"
    text = re.sub(rf"(?m)^{SETTING}=.*\n", "", env.read_text(encoding="utf-8"))
    env.write_text(f"{text}{SETTING}={count}\n", encoding="utf-8")


@contextlib.contextmanager
def _watched(project: Path) -> Iterator[Usage]:
    """The peak of a project's memory, and how busy the cores are, until the block ends."""
    usage, done = Usage(), threading.Event()

    def watch() -> None:
        while not done.wait(INTERVAL):
            usage.peak = max(usage.peak, pss(marked("GAIAFLOW_PROJECT", str(project))))

    thread = threading.Thread(target=watch)
    psutil.cpu_percent()  # from here on
    thread.start()
    try:
        yield usage
    finally:
        usage.cores = psutil.cpu_percent() / 100 * (os.cpu_count() or 1)
        done.set()
        thread.join()
