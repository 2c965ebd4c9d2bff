"""The example's run with everything warm, against its functions in one Python process."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from plumbum import local

from benchmarks.common import Goal, Row, say, seconds
from benchmarks.workshop import Workshop

# The seven functions with the arguments of their last tasks, imports included.
_ONE_PROCESS = """
import json, sys
from pathlib import Path
import gaiaflow
from gaiaflow.project import calls
from gaiaflow.project.paths import ROOT
from gaiaflow.runner import load

gaiaflow.connect()
for function in calls.known(ROOT):
    call = calls.recall(ROOT, function)
    json.dumps(load(function)(**call.arguments))
"""


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Run the one and the other in turn."""
    project = workshop.project
    script = workshop.root / "one_process.py"
    script.write_text(_ONE_PROCESS, encoding="utf-8")
    runs, processes = [], []
    with workshop.running():
        first = run(workshop, project)
        say(f"  loop: the first run: {first:.1f} s")
        for turn in range(1, repeat + 1):
            runs.append(run(workshop, project))
            processes.append(seconds(lambda: one_process(project, script)))
            say(f"  loop {turn}/{repeat}: {runs[-1]:.1f} s, in one process {processes[-1]:.1f} s")
    ours, floor = statistics.median(runs), statistics.median(processes)
    return [
        Row("run landcover", ours, floor, "in one process", goal=Goal("ratio", 1.5)),
        Row("run landcover, warm", ours, goal=Goal("value", 10)),
        Row("run landcover, the first", first),
    ]


def run(workshop: Workshop, project: Path) -> float:
    """Seconds that `run` reports."""
    return float(json.loads(workshop.manage(project, "run", "landcover", "--json"))["seconds"])


def one_process(project: Path, script: Path) -> None:
    python = local[str(project / ".venv" / "bin" / "python")]
    with local.cwd(project), local.env(PYTHONPATH=str(project), MPLBACKEND="agg"):
        python(str(script))
