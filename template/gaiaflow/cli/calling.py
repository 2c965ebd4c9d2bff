"""`mlops_manager.py call`: one function, without Airflow."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from plumbum import cli, local

from gaiaflow import console, warm
from gaiaflow.cli import common
from gaiaflow.cli.common import DONE, FAILED, WrongUse
from gaiaflow.project import calls, variables
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project
from gaiaflow.services import airflow
from gaiaflow.services.base import listens

_GRACE = 3.0  # seconds for a function to clean up after Ctrl-C


class Call(cli.Application):
    """Call a function as a task would, without Airflow, and print its result as JSON

    FUNCTION is package.module:function; an argument is NAME=VALUE, where VALUE is JSON or text.
    """

    DESCRIPTION_MORE = """
Examples:
/ call my_project.train.train:train --from-run           # with the arguments of its last task
/ call my_project.train.train:train --from-run folds=3   # but this one
/ call my_project.train.train:train --from-run --pdb     # debug where it fails, or at breakpoint()

What the function prints goes to standard error. Exit codes: 0 done, 1 it failed, 2 wrong use.
"""

    from_run = cli.Flag("--from-run", help="use the arguments of its last task on this computer")
    debug = cli.Flag("--pdb", help="stop in the debugger where it fails, or at a breakpoint()")
    profile = cli.Flag(
        "--profile", excludes=["--pdb"], help="write a flame graph of where the time goes"
    )

    def main(self, function: str, *arguments: str) -> int:
        module, _, name = function.partition(":")
        if not module or not name.isidentifier():
            raise WrongUse(
                f"{function!r} is not a function. Write package.module:function, such as "
                "my_project.train.train:train"
            )
        given = dict(map(_parse, arguments))
        project = common.project()
        if not project.environment.python.exists():
            raise GaiaflowError(
                "The project's environment does not exist yet.\n"
                "Create it: python3 mlops_manager.py start"
            )
        last = _last(project, function) if self.from_run else None
        given = {**(last.arguments if last else {}), **given}
        if not listens(project.port("OBJECT_STORE_PORT")):
            console.err.print(
                "The services aren't running, so the function can't reach MLflow or the object "
                "store."
            )
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="gaiaflow-") as scratch:
            result = Path(scratch, "result.json")
            call = {
                variables.TASK: name,
                variables.ARGUMENTS: json.dumps(given),
                variables.RESULT: str(result),
                variables.EDITED: "1",
                "PYTHONUNBUFFERED": "1",
            }
            if self.debug or self.profile or not _call_warm(project, function, last, call):
                env = {**_env(project, last), **call, variables.DEBUG: "1" if self.debug else ""}
                command = [str(project.environment.python), "-m", "gaiaflow.runner", function]
                graph = _graph(project, function) if self.profile else None
                if graph:
                    command = _profiled(project, graph, command)
                _run(command, env, project.root, debugged=bool(self.debug))
                if graph and not graph.exists():
                    console.err.print(f"{function} finished too quickly to profile.")
            seconds = time.monotonic() - started
            if not result.exists():
                console.print_error(f"{function} failed after {seconds:.1f} s.")
                return FAILED
            console.print_json(json.loads(result.read_text(encoding="utf-8")))
        return DONE


def _parse(argument: str) -> tuple[str, Any]:
    name, sign, text = argument.partition("=")
    if not sign or not name.isidentifier():
        raise WrongUse(f"{argument!r} is not an argument. Write NAME=VALUE, such as folds=3")
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


def _last(project: Project, function: str) -> calls.Call:
    call = calls.recall(project.root, function)
    if call is None:
        known = calls.known(project.root)
        raise GaiaflowError(
            f"{function} has not run as a task in mode dev on this computer yet.\n"
            f"Those that have: {', '.join(known) or 'none'}"
        )
    console.err.print(f"Arguments of {call.task_id} in {call.dag_id}, {call.run_id}")
    return call


def _env(project: Project, last: calls.Call | None) -> dict[str, str]:
    """The variables of a task, with all secrets: nobody says which of them the function needs."""
    return {
        **airflow.task_env(project),
        **project.own_variables(),
        **(last.env if last else {}),
    }


def _call_warm(
    project: Project, function: str, last: calls.Call | None, call: Mapping[str, str]
) -> bool:
    """Call the function in a fork of the server of warm tasks, if it can be; whether it was."""
    env = common.warm_env(project)
    if env is None or project.own_variables() or (last and last.env):
        return False
    task = warm.start(str(project.environment.python), project.root, function, env, call, 2)
    if task is None:
        return False
    numbers = (signal.SIGTERM, signal.SIGKILL)
    _wait(task, *(functools.partial(os.killpg, task.pid, number) for number in numbers))
    return True


def _graph(project: Project, function: str) -> Path:
    """The file of a new flame graph."""
    now = datetime.datetime.now().astimezone()
    name = f"{function.replace(':', '-')}-{now:%Y%m%d-%H%M%S}.svg"
    file = project.state.profiles / name
    file.parent.mkdir(parents=True, exist_ok=True)
    console.err.print(f"Flame graph, to be opened in a browser: {file}", soft_wrap=True)
    return file


def _profiled(project: Project, graph: Path, command: Sequence[str]) -> list[str]:
    """The command, watched by py-spy, which writes a flame graph."""
    py_spy = project.state.airflow_python.with_name("py-spy")
    options = ["--format", "flamegraph", "--subprocesses", "--output", str(graph)]
    return [str(py_spy), "record", *options, "--", *command]


def _run(command: Sequence[str], env: Mapping[str, str], root: Path, *, debugged: bool) -> None:
    """Run a program in this terminal; what it prints goes to standard error."""
    program = local[command[0]][list(command[1:])]
    started = program.popen(cwd=str(root), env=env, stdin=None, stdout=2, stderr=2)
    process = cast("subprocess.Popen[bytes]", started)
    if debugged:  # the debugger's own way to stop a function
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    # After Ctrl-C in a terminal, it has the signal already: let it clean up first.
    _wait(process, _nothing, process.terminate, process.kill)


def _wait(process: subprocess.Popen[bytes] | warm.WarmTask, *ends: Callable[[], object]) -> None:
    """Wait for a function; after Ctrl-C, end it in these ways, with some time for each."""
    try:
        process.wait()
    except KeyboardInterrupt:
        for end in ends:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                end()
                process.wait(_GRACE)
        raise


def _nothing() -> None:
    pass
