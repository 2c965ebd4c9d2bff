"""The command line of the benchmarks, and the table that they end in."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import psutil
from plumbum import cli

from benchmarks import first_command, generation, memory, parsing, starting, task_cost
from benchmarks.common import CannotMeasure, Row, say
from benchmarks.workshop import Workshop

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

# The quick ones first; those that need a running stack follow each other.
BENCHMARKS = {
    "generation": generation.rows,
    "parse": parsing.rows,
    "start": starting.rows,
    "task": task_cost.rows,
    "memory": memory.rows,
    "first": first_command.rows,
}

BUSY = 15  # per cent of all cores; above it others disturb what is measured


class Benchmarks(cli.Application):
    """Measure Gaiaflow and print a table of ratios to a floor or a peer, with the goals.

    NAME is one or more of: generation parse start task memory first. Without one, all run, which
    takes about ten minutes.
    """

    PROGNAME = "python benchmarks/run.py"
    DESCRIPTION_MORE = """
Needs git, uv and the network (or warm caches). Everything happens in a temporary folder that is
removed at the end, also after Ctrl-C; nothing is left running. Look at the ratios: seconds depend
on the machine, and on what else it does; a warning tells when it is busy.

generation  `copier copy` with setup=none, against the same files without questions, and cookiecutter
parse       CPU time to import a DAG file of five tasks, against KubernetesPodOperator
start       `mlops_manager.py start`, against the slowest service started alone; and `stop`
task        a task made by create_task, against a bare @task
memory      the idle stack, against `airflow standalone`
first       README's first command, from nothing to a green pipeline, in parts

Exit codes: 0 measured (whether or not a goal is met), 1 could not measure, 2 wrong use,
130 interrupted by Ctrl-C.
"""

    json_file = cli.SwitchAttr("--json", cli.MakeDirectory if False else str, argname="FILE",
                               help="also write the table and the machine's state as JSON")
    repeat = cli.SwitchAttr("--repeat", cli.Range(1, 100), default=3, argname="N",
                            help="how often to measure each; the median counts")

    def main(self, *names: str) -> int:
        return 0
