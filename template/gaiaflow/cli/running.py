"""`mlops_manager.py run`: all of a DAG, the rest of its last run, or what an edit touches."""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from plumbum import cli

from gaiaflow import backends, console, testing, warm
from gaiaflow.airflow_client import FINAL_STATES, Airflow, DagRun, Json, overview
from gaiaflow.cli import common
from gaiaflow.cli.common import DONE, FAILED, WrongUse
from gaiaflow.project import imports, variables
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_identity
from gaiaflow.project.project import Project
from gaiaflow.services import select

_GREEN = {"success", "skipped"}
Begin = Callable[[console.Progress], DagRun]


class Run(cli.Application):
    """Run a DAG and follow its tasks to the end; show the logs of failed tasks"""

    conf = cli.SwitchAttr(
        "--conf", str, default="{}", argname="JSON", help='its parameters as {"name": value}'
    )
    first = cli.SwitchAttr(
        "--from",
        str,
        argname="TASK",
        excludes=["--conf"],
        help="repeat this task of the last run and all that follow it, with the stored results of "
        "the tasks before it",
    )
    watch = cli.Flag(
        "--watch",
        excludes=["--json"],
        help="then wait for edits, and repeat the tasks that use what was edited, until Ctrl-C",
    )
    as_json = cli.Flag("--json", help="print the run and its tasks as JSON at the end")

    def main(self, dag_id: str) -> int:
        conf = _parse_conf(self.conf)
        airflow = Airflow(common.project())
        _warm_up(airflow.project)
        changes = edits(airflow.project.root) if self.watch else iter(())
        if self.first:
            run = self._run(airflow, lambda _: _repeat(airflow, dag_id, str(self.first)))
        else:
            run = self._run(airflow, lambda progress: _trigger(airflow, dag_id, conf, progress))
        if self.watch:
            with contextlib.suppress(KeyboardInterrupt):  # this is how it ends
                run = self._watch(airflow, run, changes)
        return DONE if run.state == "success" else FAILED

    def _run(self, airflow: Airflow, begin: Begin) -> DagRun:
        """Begin a run, follow it to its end, and show how it ended."""
        started = time.monotonic()
        with console.Progress() as progress:
            begun = run = begin(progress)
            progress.notify(run.dag_id, "running", run.url)
            try:
                for run in airflow.follow(begun):
                    for name, state, detail in overview(run.tasks):
                        page = run.questions.get(name)
                        progress.notify(name, state, f"answer at {page}" if page else detail)
                    if any(task.state == "deferred" for task in run.tasks):
                        _start_triggerer(airflow.project, progress)
            except KeyboardInterrupt:
                console.err.print(f"The run continues: {run.url}", soft_wrap=True)
                raise
            progress.notify(run.dag_id, run.state, run.url)
        self._show(airflow, run, time.monotonic() - started)
        return run

    def _watch(self, airflow: Airflow, run: DagRun, changes: Iterator[set[Path]]) -> DagRun:
        """Run again whatever an edit touches, until Ctrl-C."""
        root = airflow.project.root
        console.err.print("Waiting for edits; Ctrl-C ends.")
        for files in changes:
            names = ", ".join(sorted(str(file.relative_to(root)) for file in files))
            console.err.print(f"Edited: {names}", soft_wrap=True)
            try:
                if begin := _touched(airflow, run, files):
                    run = self._run(airflow, begin)
                else:
                    console.err.print(f"No task of {run.dag_id} uses it.")
            except GaiaflowError as error:  # the next edit may repair it
                console.print_error(str(error))
            console.err.print("Waiting for edits; Ctrl-C ends.")
        return run

    def _show(self, airflow: Airflow, run: DagRun, seconds: float) -> None:
        shown = common.show_failures(airflow, run)
        if self.as_json:
            console.print_json({**asdict(run), "url": run.url, "seconds": round(seconds, 1)})
        elif run.state == "success":
            console.out.print(f"{run.dag_id} is green after {seconds:.1f} s: {run.url}")
        else:
            where = ", ".join(task.label for task in shown) or "no task"
            failed = sum(task.state == "failed" for task in run.tasks)
            if more := failed - len(shown):
                where += f" and {more} more"
            console.print_error(f"{run.dag_id} failed after {seconds:.1f} s in {where}.\n{run.url}")


def _trigger(airflow: Airflow, dag_id: str, conf: Json, progress: console.Progress) -> DagRun:
    """Start a run of the whole DAG."""
    dag = airflow.find_dag(dag_id, lambda what: progress.notify(dag_id, "waiting", what))
    run = airflow.trigger(dag, conf)
    _say_unpaused(airflow, dag)
    return run


def _repeat(airflow: Airflow, dag_id: str, task_id: str) -> DagRun:
    """Run the newest run again from one task on."""
    dag = airflow.find_dag(dag_id, common.silent)
    before = airflow.upstream(dag_id)
    if task_id not in before:
        near = difflib.get_close_matches(task_id, before, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise WrongUse(f"{dag_id} has no task {task_id!r}.{hint}\nIts tasks: {', '.join(before)}")
    run = airflow.newest_run(dag_id)
    if run is None:
        raise GaiaflowError(
            f"{dag_id} has not run yet. Run all of it: python3 mlops_manager.py run {dag_id}"
        )
    if run.state not in FINAL_STATES:
        raise GaiaflowError(f"The last run of {dag_id} is still {run.state}: {run.url}")
    stored = {task.task_id for task in run.tasks} - _not_green(run)
    if missing := sorted(before[task_id] - stored):
        raise GaiaflowError(
            f"The last run has no result of {', '.join(missing)}, which {task_id} needs.\n"
            f"Run from there: python3 mlops_manager.py run {dag_id} --from {missing[0]}"
        )
    airflow.repeat(run, [task_id])
    _say_unpaused(airflow, dag)
    return run


def _say_unpaused(airflow: Airflow, dag: Json) -> None:
    """Say what follows if a run has unpaused its DAG."""
    if dag["is_paused"] and dag["timetable_summary"]:
        dag_id, schedule = dag["dag_id"], dag["timetable_summary"]
        console.err.print(
            f"{dag_id} was paused; from now on it runs on its schedule ({schedule}).\n"
            f"To pause it again: {airflow.project.url('AIRFLOW_PORT')}/dags/{dag_id}",
            soft_wrap=True,
        )


def _touched(airflow: Airflow, run: DagRun, files: set[Path]) -> Begin | None:
    """What to run after an edit of these files; None if the DAG does not use them."""
    root = airflow.project.root
    dag = airflow.find_dag(run.dag_id, common.silent)
    dag_files = airflow.files_of(dag)
    if not files.isdisjoint(dag_files):
        return lambda progress: _trigger(airflow, run.dag_id, airflow.conf_of(run), progress)
    changed = tuple(file.stat().st_mtime_ns for file in dag_files)
    functions = _functions(airflow.file_of(dag), changed, run.dag_id)
    touched = {task for task, reference in functions.items() if uses(root, reference, files)}
    if not touched:
        return None
    return lambda _: airflow.repeat(run, touched | _not_green(run))


def _not_green(run: DagRun) -> set[str]:
    return {task.task_id for task in run.tasks if task.state not in _GREEN}


def edits(root: Path) -> Iterator[set[Path]]:
    """Watch the project's Python and YAML files from now on; yield edited ones, until Ctrl-C."""
    from watchfiles import PythonFilter, watch  # only now: it takes 50 ms

    package = read_identity(root).package
    folders = [root / name for name in (package, "src", "dags") if (root / name).is_dir()]
    only = PythonFilter(extra_extensions=(".yml", ".yaml"))
    changes = watch(*folders, watch_filter=only, yield_on_timeout=True, rust_timeout=500)
    next(changes)  # begins
    return ({Path(path) for _, path in found} for found in changes if found)


def uses(root: Path, reference: str, files: set[Path]) -> bool:
    """Whether a function, "package.module:function", is in these files or imports one of them."""
    module = reference.partition(":")[0]
    own, _ = imports.closure(root, imports.files_of(root, module))
    return not own.isdisjoint(files)


@functools.cache
def _functions(dag_file: Path, changed: tuple[int, ...], dag_id: str) -> dict[str, str]:
    """The function of each of our tasks in a DAG, as long as its files haven't changed."""
    found = testing.load_dags([dag_file])["dags"].get(dag_id, [])
    tasks = found[0]["tasks"] if found else {}
    return {name: task["function"] for name, task in tasks.items() if task["function"]}


def _start_triggerer(project: Project, progress: console.Progress) -> None:
    backend = backends.make(backends.active(project.state), project, progress.notify)
    backend.start(select(["airflow-triggerer"], backend.services))


def _warm_up(project: Project) -> None:
    """Let the server of warm tasks import packages before Airflow starts the first task."""
    env = common.warm_env(project)
    if env and project.env[variables.MODE] == "dev":
        warm.launch(str(project.environment.python), project.root, env)


def _parse_conf(text: str) -> Json:
    try:
        conf = json.loads(text)
    except ValueError as error:
        raise WrongUse(f"--conf is not JSON: {error}") from None
    if not isinstance(conf, dict):
        raise WrongUse('--conf must be a JSON object such as {"name": value}')
    return conf
