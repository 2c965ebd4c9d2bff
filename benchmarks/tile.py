"""A Sentinel-2 tile to a map of classes, against reading and writing alone and against peers."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from plumbum import local

from benchmarks.common import Goal, Row, interleaved, say
from benchmarks.workshop import GIB, PACKAGE, REPOSITORY, Workshop

SIDE = 10_980  # pixels of a Sentinel-2 tile at 10 m
PART = SIDE // 4
GPL = "pyspatialml"  # measured only where the person who runs this has installed it
PEERS = ("dask", GPL)
MEGA = 1e6


@dataclass(frozen=True)
class Way:
    """One way to make a map from a tile; see tile_work.py."""

    python: str
    name: str
    tile: Path
    model: str = ""


class Measured:
    """Runs ways, and keeps the most memory and the least processor time that each has needed."""

    def __init__(self, folder: Path, project: Path) -> None:
        self.folder = folder
        self._path = {"PYTHONPATH": f"{REPOSITORY}:{project}"}
        self.peaks: dict[str, float] = {}
        self.used: dict[str, float] = {}

    def work(self, python: str, *arguments: str, **env: str) -> str:
        """Call tile_work.py in an environment; returns what it prints."""
        command = local[python]["-m", "benchmarks.tile_work", arguments]
        return str(command(env=self._path | env, cwd=str(self.folder)))

    def seconds(self, label: str, way: Way) -> float:
        """How long a way takes."""
        model = [str(self.folder / way.model)] if way.model else []
        # What dask's documentation advises; ours does the same by itself.
        env = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} if way.name in PEERS else {}
        out = str(self.folder / f"{way.name}.tif")
        found = json.loads(self.work(way.python, way.name, str(way.tile), out, *model, **env))
        self.peaks[label] = max(self.peaks.get(label, 0), found["peak"] / GIB)
        self.used[label] = min(self.used.get(label, float("inf")), found["cpu"])
        return float(found["seconds"])


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Each way in a process of its own; those that take minutes only on a part of the tile."""
    project = workshop.project
    python = str(project / ".venv" / "bin" / "python")
    folder = workshop.root / "tile"
    folder.mkdir()
    measured = Measured(folder, project)
    whole, part = folder / "tile.tif", folder / "part.tif"
    say("  tile: making tiles, models and an environment with the peers")
    measured.work(python, "make", str(SIDE), str(whole))
    measured.work(python, "make", str(PART), str(part))
    measured.work(python, "train", PACKAGE, str(folder))
    peers, has_gpl = _peers(workshop, python)
    ways = {
        "floor": Way(python, "floor", whole),
        "no model": Way(python, "nothing", whole),
        "ours": Way(python, "ours", whole, "model"),
        "ours, 1/16": Way(python, "ours", part, "model"),
        "0.5, 1/16": Way(python, "old", part, "old-model"),
        "dask": Way(peers, "dask", whole, "model"),
    }
    if has_gpl:
        ways["pyspatialml"] = Way(peers, GPL, whole, "model")
    actions: dict[str, Callable[[], float]] = {
        label: partial(measured.seconds, label, way) for label, way in ways.items()
    }
    return _table(interleaved(actions, repeat, "tile"), measured)


def _table(took: dict[str, float], measured: Measured) -> list[Row]:
    """What each way has needed, and whether that meets the goals."""
    peaks, used = measured.peaks, measured.used
    ours, pixels = took["ours"], SIDE**2 / MEGA
    old = took["0.5, 1/16"] / (PART**2 / MEGA)

    def more(label: str) -> str:
        return (
            f"processor {used['ours']:.0f} and {used[label]:.0f} s, "
            f"peaks {peaks['ours']:.2f} and {peaks[label]:.2f} GiB"
        )

    name, million = "a tile's classes", "a million pixels"
    return [
        Row(name, ours, took["floor"], "reading and writing", "s", Goal("ratio", 5), more("floor")),
        Row("the same without a model", took["no model"], took["floor"], "reading and writing"),
        Row(million, ours / pixels, old, "0.5's way", "s", Goal("ratio", 0.1), more("0.5, 1/16")),
        *(Row(name, ours, took[peer], peer, note=more(peer)) for peer in PEERS if peer in took),
        Row("memory for a tile", peaks["ours"], unit="GiB", goal=Goal("value", 1)),
        Row(
            "memory for a tile",
            peaks["ours"],
            peaks["ours, 1/16"],
            "1/16 of it",
            "GiB",
            Goal("ratio", 1.1),
        ),
    ]


def _peers(workshop: Workshop, python: str) -> tuple[str, bool]:
    """An environment with the project's packages and the peers; whether pyspatialml is in it."""
    has_gpl = importlib.util.find_spec(GPL) is not None
    listed = local[workshop.uv](
        "pip", "freeze", "--quiet", "--exclude-editable", "--python", python
    )
    packages = [*listed.split("\n"), "dask", "rioxarray", *([GPL] if has_gpl else [])]
    made = workshop.environment("peers", *filter(None, map(str.strip, packages)))
    return str(made / "bin" / "python"), has_gpl
