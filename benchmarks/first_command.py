"""README's first command: from nothing but Python, git and warm caches to a green pipeline."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import IO, cast

from plumbum import local

from benchmarks.common import CannotMeasure, Goal, Row, say, seconds
from benchmarks.workshop import Workshop

# A part ends with the last line (in what `copier copy` prints) that looks like this.
PARTS = {
    "files, secrets, git": re.compile(r"^(Making|Creating) Airflow's environment"),
    "Airflow's environment": re.compile(r"^airflow-init: starting"),
    "project's environment and services": re.compile(r"^[a-z-]+: (healthy|done)"),
    "pipeline": re.compile(r"^landcover: success"),
}
GREEN = re.compile(r"^The example is green")


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Run the command once; `repeat` would only make it long. Its parts are rows of their own."""
    say("  first: filling the caches")
    _ = workshop.project  # all packages of both environments are in uv's cache now
    _install(workshop, "first-warm")
    say("  first: the command")
    installing = seconds(lambda: _install(workshop, "first-tools"))
    begun = time.monotonic()
    reached = dict.fromkeys(PARTS, 0.0)
    shown: list[str] = []
    for line in _copier_copy(workshop):
        shown.append(line)
        for part, sign in PARTS.items():
            if sign.search(line):
                reached[part] = time.monotonic() - begun
    total = time.monotonic() - begun
    if not any(map(GREEN.search, shown)):
        raise CannotMeasure("The pipeline did not become green:\n" + "\n".join(shown[-30:]))
    return [
        Row("first command to green pipeline", installing + total, goal=Goal("value", 40)),
        Row("  venv and pip install", installing),
        *_parts(reached, total),
    ]


def _parts(reached: Mapping[str, float], total: float) -> Iterator[Row]:
    before = 0.0
    for part, moment in reached.items():
        yield Row(f"  {part}", moment - before)
        before = moment
    yield Row("  lock file into git, and the end", total - before)


def _install(workshop: Workshop, name: str) -> None:
    prefix = workshop.root / name
    local[sys.executable]("-m", "venv", str(prefix))
    local[str(prefix / "bin" / "pip")]("install", "--quiet", f"git+file://{workshop.template}")


def _copier_copy(workshop: Workshop) -> Iterator[str]:
    """Generate with setup=start, and yield the lines as they are printed."""
    project = workshop.root / "my-project"
    workshop.adopt(project)
    options = ["--trust", "--defaults", "-d", "project_name=My project", "-d", "setup=start"]
    copier = local[str(workshop.root / "first-tools" / "bin" / "copier")]["copy", options]
    process = copier[str(workshop.template), str(project)].popen(
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = cast("IO[bytes]", process.stdout)
    for line in output:
        yield line.decode(errors="replace").rstrip()
    process.wait()
