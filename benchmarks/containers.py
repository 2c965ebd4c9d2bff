"""The services as containers, against Docker Compose by hand; and the project's own image."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from plumbum import ProcessExecutionError, local

from benchmarks.common import CannotMeasure, Goal, Row, interleaved, say, seconds
from benchmarks.workshop import PACKAGE, Workshop, pss

SETTLE = 45.0  # seconds from healthy to idle
_LABEL = "label=com.docker.compose.project.working_dir="


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Time warm starts by us and by hand; measure the idle stack, the image and a rebuild."""
    try:
        docker = local["docker"]
        docker("compose", "version")
        docker("version")
    except (ProcessExecutionError, OSError) as error:
        raise CannotMeasure(f"There is no Docker engine with Compose here: {error}") from None
    with _project(workshop) as project:
        by_hand = docker["compose", "--project-directory", str(project), "--profile", "jupyterlab"]

        def ours() -> float:
            taken = seconds(lambda: workshop.manage(project, "start", "--backend", "compose"))
            workshop.manage(project, "stop")
            return taken

        def theirs() -> float:
            taken = seconds(lambda: by_hand("up", "--wait"))
            workshop.manage(project, "stop")
            return taken

        starts = interleaved({"ours": ours, "by hand": theirs}, repeat, "start of containers")
        workshop.manage(project, "start", "--backend", "compose")
        statuses = [seconds(lambda: workshop.manage(project, "status")) for _ in range(repeat)]
        say(f"  the containers are up, waiting {SETTLE:.0f} s")
        time.sleep(SETTLE)
        memory = statistics.median(_pss(project) for _ in range(repeat))
        unpacked, packed, rebuild = _image(workshop, project, repeat)
    by_hand_text = "docker compose up --wait"
    return [
        Row("start, containers", starts["ours"], starts["by hand"], by_hand_text, goal=_ratio(1.3)),
        Row("status, containers", statistics.median(statuses), goal=_value(1)),
        Row("idle containers, PSS", memory, unit="GiB", goal=_value(1.4)),
        Row("package image, as it travels", packed, unit="MB", goal=_value(450)),
        Row("package image, unpacked", unpacked, unit="MB"),
        Row("build after a change of code", rebuild, goal=_value(3)),
    ]


def _ratio(limit: float) -> Goal:
    return Goal("ratio", limit)


def _value(limit: float) -> Goal:
    return Goal("value", limit)


@contextlib.contextmanager
def _project(workshop: Workshop) -> Iterator[Path]:
    """A project whose images are built and whose environment is made."""
    say("Making a project and its images, and starting it once")
    project = workshop.generate("containers")
    try:
        workshop.manage(project, "start", "--backend", "compose")
        workshop.manage(project, "stop")
        yield project
    except ProcessExecutionError as error:
        raise CannotMeasure(f"The containers do not start.\n{error.stderr}") from None
    finally:
        workshop.manage(project, "clean", "--data", "--yes")


def _pss(project: Path) -> float:
    """The PSS in GiB of all processes in a project's containers."""
    docker = local["docker"]
    ids = docker("ps", "--quiet", "--filter", f"{_LABEL}{project}").split()
    roots = docker("inspect", "--format", "{{.State.Pid}}", *ids).split()
    found = map(psutil.Process, map(int, roots))
    return pss(process for root in found for process in (root, *root.children(recursive=True)))


def _image(workshop: Workshop, project: Path, repeat: int) -> tuple[float, float, float]:
    """Megabytes of the image, unpacked and as gzip; seconds to build it after a change of code."""
    docker = local["docker"]
    name = workshop.manage(project, "build").strip()
    try:
        [found] = json.loads(docker("image", "inspect", name))
        saved = docker["save", name] | local["gzip"]["-6"] | local["wc"]["-c"]
        packed = int(saved())
        module = project / PACKAGE / "__init__.py"
        text = module.read_text(encoding="utf-8")
        builds = []
        for turn in range(repeat):
            module.write_text(f"{text}\nTURN = {turn}\n", encoding="utf-8")
            builds.append(seconds(lambda: workshop.manage(project, "build")))
        return found["Size"] / 1e6, packed / 1e6, statistics.median(builds)
    finally:
        docker("image", "rm", "--force", name)
