"""`mlops_manager.py start` of a warm project, against each service alone; and `stop`."""

from __future__ import annotations

import math
import statistics
import time
from functools import partial

from plumbum import ProcessExecutionError, ProcessTimedOut

from benchmarks.common import CannotMeasure, Goal, Row, interleaved, say, seconds
from benchmarks.workshop import Workshop

ALL = "all services"
AIRFLOW = "airflow"
COMPONENTS = ("airflow-api-server", "airflow-scheduler", "airflow-dag-processor")
OTHERS = ("mlflow", "object-store", "jupyterlab")
LIMIT = 45.0  # seconds; a component of Airflow that takes longer does not come up alone
WAITS = 10  # starts that had to wait for another project, and are measured again


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Time starts of all and of each, in turn, with a stop after each."""
    project = workshop.project
    manager = workshop.tool("python")[str(project / "mlops_manager.py")]
    stops: list[float] = []
    waits: list[str] = []
    hopeless: set[str] = set()

    def start(name: str) -> float:
        if name in hopeless:
            return math.nan
        command = manager["start"] if name == ALL else manager["start", "--service", name]
        limit = LIMIT if name in COMPONENTS else None
        begun = time.monotonic()
        try:
            _, _, progress = command.run(timeout=limit)
            taken = time.monotonic() - begun
        except (ProcessExecutionError, ProcessTimedOut):
            if name not in COMPONENTS:
                raise
            say(f"  {name} does not become healthy alone: left out")
            hopeless.add(name)
            taken, progress = math.nan, ""
        stopped = seconds(lambda: workshop.manage(project, "stop"))
        if name == ALL:
            stops.append(stopped)
        if "another project is starting" not in progress:  # only one may, on a machine
            return taken
        say(f"  {name} had to wait for another project of this machine: once more")
        waits.append(name)
        if len(waits) > WAITS:
            raise CannotMeasure("Other Gaiaflow projects keep starting on this machine.")
        return start(name)

    names = (ALL, AIRFLOW, *COMPONENTS, *OTHERS)
    measured = interleaved({name: partial(start, name) for name in names}, repeat, "start")
    ours = measured[ALL]
    slowest = max((AIRFLOW, *OTHERS), key=lambda name: _known(measured[name]))
    component = max((*COMPONENTS, *OTHERS), key=lambda name: _known(measured[name]))
    goal = Goal("ratio", 1.3)
    return [
        Row("start", ours, measured[slowest], f"slowest service alone: {slowest}", goal=goal),
        Row("start", ours, measured[component], f"slowest process alone: {component}", goal=goal),
        *(
            Row(f"start --service {name}", measured[name], note="alone")
            for name in names[1:]
            if name not in hopeless
        ),
        *(
            Row(f"start --service {name}", math.nan, note=f"not healthy alone in {LIMIT:.0f} s")
            for name in sorted(hopeless)
        ),
        Row("stop", statistics.median(stops), goal=Goal("value", 6)),
    ]


def _known(value: float) -> float:
    return -1.0 if math.isnan(value) else value
