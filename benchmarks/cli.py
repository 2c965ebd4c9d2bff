"""The command line of the benchmarks, and the table that they end in."""

from __future__ import annotations

import difflib
import json
import math
import os
import platform
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import psutil
from plumbum import CommandNotFound, ProcessExecutionError, cli

from benchmarks import (
    archive,
    containers,
    first_command,
    generation,
    inner_loop,
    map_tiles,
    memory,
    modes,
    parsing,
    serving,
    soak,
    stac_search,
    starting,
    task_cost,
    tile,
    updating,
)
from benchmarks.common import CannotMeasure, Row, say
from benchmarks.workshop import Workshop

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

BENCHMARKS: dict[str, Callable[[Workshop, int], list[Row]]] = {
    "generation": generation.rows,
    "update": updating.rows,
    "parse": parsing.rows,
    "start": starting.rows,
    "task": task_cost.rows,
    "loop": inner_loop.rows,
    "modes": modes.rows,
    "memory": memory.rows,
    "map": map_tiles.rows,
    "containers": containers.rows,
    "first": first_command.rows,
    "tile": tile.rows,
    "stac": stac_search.rows,
    "archive": archive.rows,
    "serving": serving.rows,
    "soak": soak.rows,
}
SHORT = BENCHMARKS.keys() - {"soak"}  # all that run if none is named

BUSY = 15.0  # per cent of all cores; above it others disturb what is measured


class Benchmarks(cli.Application):
    """Measure Gaiaflow and print ratios to a floor or a peer, with the goals.

    NAME is one or more of: generation update parse start task loop modes memory map containers
    first tile stac archive serving soak.
    Without one, all but soak.
    """

    PROGNAME = "python benchmarks/run.py"
    DESCRIPTION_MORE = """
generation  `copier copy` with setup=none; the same files without questions; cookiecutter

update      `copier update` and `mlops_manager.py update`; Copier alone; adopting a project

parse       CPU time to import a DAG file of five tasks; one with KubernetesPodOperator

start       `mlops_manager.py start`; the slowest service started alone; and `stop`

task        a task made by create_task; a bare @task

loop        `run landcover` when all is warm; its functions in one Python process

modes       the same in containers and pods, and 50 mapped tasks; the bare operators

memory      the idle stack; `airflow standalone`

map         a tile of the map; titiler alone; `open maps` until the first tile

containers  the services as containers; `docker compose up --wait`; the project's image

first       README's first command, from nothing to a green pipeline, in parts

tile        a Sentinel-2 tile to a map of classes; reading and writing alone, and peers

stac        a search that finds 1,000 items; pystac-client alone

archive     twelve tiles as tasks, two and four at a time; one tile after the other

serving     predictions over HTTP, and a new champion under load; `mlflow models serve`

soak        500 runs of a small DAG: the memory and processes that they leave; ten minutes

All takes about three quarters of an hour and needs git, uv, Docker and the network (or warm
caches). It happens in a temporary folder that is removed at the end, also after Ctrl-C; nothing
is left running. Look at the ratios: seconds depend on the machine and on what else it does.

Exit codes: 0 measured, goals met or not; 1 could not measure; 2 wrong use; 130 Ctrl-C.
"""

    json_file = cli.SwitchAttr(
        "--json", str, default="", argname="FILE", help="also write rows and machine as JSON"
    )
    repeat = cli.SwitchAttr(
        "--repeat",
        cli.Range(1, 100),
        default=3,
        argname="N",
        help="how often to measure (parse and generation at least 5 times); the median counts",
    )

    def main(self, *name: str) -> int:
        for unknown in (given for given in name if given not in BENCHMARKS):
            near = difflib.get_close_matches(unknown, BENCHMARKS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            say(f"error: there is no benchmark {unknown!r}.{hint} See --help.")
            return WRONG_USE
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        rows: list[Row] = []
        machine = _machine()
        code = DONE
        try:
            with Workshop() as workshop:
                for chosen in [known for known in BENCHMARKS if known in (name or SHORT)]:
                    busy = machine["busy"][chosen] = psutil.cpu_percent(interval=2)
                    say(f"{chosen}: others use {busy:.0f} % of the machine")
                    try:
                        rows += BENCHMARKS[chosen](workshop, self.repeat)
                    except (CannotMeasure, ProcessExecutionError, CommandNotFound) as error:
                        say(f"error: {chosen} could not be measured: {error}")
                        code = FAILED
        except KeyboardInterrupt:
            say("interrupted")
            code = INTERRUPTED
        machine["load average after"] = os.getloadavg()
        _print(rows, machine)
        if self.json_file:
            _write(Path(self.json_file), rows, machine)
        return code


def _machine() -> dict[str, Any]:
    return {
        "processors": os.cpu_count(),
        "memory in GiB": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load average before": os.getloadavg(),
        "busy": {},  # per cent of all processors, just before each benchmark
    }


def _print(rows: Sequence[Row], machine: dict[str, Any]) -> None:
    """Print the machine, the table, and a warning if others disturbed the measurement."""
    for key, value in machine.items():
        shown = " ".join(f"{load:.1f}" for load in value) if key.startswith("load") else value
        if key != "busy":
            print(f"{key}: {shown}")
    header = ("WHAT", "OURS", "AGAINST", "", "RATIO", "GOAL", "MET", "NOTE")
    table = [header, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    right = (1, 3, 4)  # numbers
    print()
    for cells in table:
        padded = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        print("  ".join(padded).rstrip())
    disturbed = [f"{name} {busy:.0f} %" for name, busy in machine["busy"].items() if busy > BUSY]
    if disturbed:
        print(f"\nwarning: others used the processors before: {', '.join(disturbed)}.")
        print("Their seconds are too high, and the ratios rough: measure again at a quiet time.")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        _number(row.ours, row.unit),
        row.against,
        _number(row.peer, row.unit),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        row.goal_text,
        {True: "yes", False: "NO", None: ""}[row.met],
        row.note,
    )


def _number(value: float | None, unit: str) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.3f} {unit}" if value < 1 else f"{value:.2f} {unit}"


def _write(file: Path, rows: Sequence[Row], machine: dict[str, Any]) -> None:
    listed = [{**asdict(row), "ratio": row.ratio, "met": row.met} for row in rows]
    text = json.dumps({"machine": machine, "rows": listed}, indent=2)
    file.write_text(text.replace("NaN", "null") + "\n", encoding="utf-8")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
