"""`mlops_manager.py start` of a warm project, against each service alone; and `stop`."""

from __future__ import annotations

import math
import statistics
from functools import partial

from plumbum import ProcessExecutionError, ProcessTimedOut

from benchmarks.common import Goal, Row, interleaved, say, seconds
from benchmarks.workshop import Workshop

ALL = "all services"
AIRFLOW = "airflow"
COMPONENTS = ("airflow-api-server", "airflow-scheduler", "airflow-dag-processor")
OTHERS = ("mlflow", "object-store", "jupyterlab")
LIMIT = 60.0  # seconds; what takes longer does not come up alone


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Time starts of all and of each, in turn, with a stop after each."""
    project = workshop.project
    manager = workshop.tool("python")[str(project / "mlops_manager.py")]
    stops: list[float] = []
    hopeless: set[str] = set()

    def start(name: str) -> float:
        if name in hopeless:
            return math.nan
        command = manager["start"] if name == ALL else manager["start", "--service", name]
        try:
            taken = seconds(lambda: command.run(timeout=LIMIT))
        except (ProcessExecutionError, ProcessTimedOut) as error:
            if name == ALL:
                raise
            say(f"  {name} does not become healthy alone ({type(error).__name__}): left out")
            hopeless.add(name)
            taken = math.nan
        stopped = seconds(lambda: workshop.manage(project, "stop"))
        if name == ALL:
            stops.append(stopped)
        return taken

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
