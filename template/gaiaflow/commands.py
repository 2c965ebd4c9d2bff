"""The commands of `mlops_manager.py`: they parse and print; the work is done elsewhere."""

from __future__ import annotations

import difflib
import json
import shutil
import signal
import sys
import time
import webbrowser
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NoReturn

from plumbum import cli

from gaiaflow import __version__, console, environments, settings
from gaiaflow.errors import GaiaflowError, explain
from gaiaflow.local_backend import LocalBackend, State, follow_file, tail
from gaiaflow.pipelines import Airflow, DagRun, WrongConf
from gaiaflow.services import SERVICES, Service, select
from gaiaflow.updating import Update

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


_START_IT = "Start it: python3 mlops_manager.py start"


class WrongUse(Exception):
    """The command line makes no sense. The message says how it would."""


def main() -> NoReturn:
    """Run the manager and turn what can go wrong into a message and an exit code."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) != signal.SIG_IGN:  # as under nohup
            signal.signal(name, _interrupt)
    try:
        _, code = MlopsManager.run(exit=False)
    except (WrongUse, WrongConf) as error:
        console.print_error(str(error))
        code = WRONG_USE
    except GaiaflowError as error:
        console.print_error(str(error))
        code = FAILED
    except BrokenPipeError:  # the reader of a pipe has seen enough
        code = DONE
    except OSError as error:
        console.print_error(explain(error))
        code = FAILED
    except KeyboardInterrupt:
        console.err.print("interrupted")
        code = INTERRUPTED
    sys.exit(code)


class MlopsManager(cli.Application):
    """Start, stop and use Airflow, MLflow, the object store and JupyterLab of this project."""

    PROGNAME = "python3 mlops_manager.py"
    VERSION = __version__
    SUBCOMMAND_HELPMSG = False
    DESCRIPTION_MORE = """
A first session:
/ python3 mlops_manager.py start           # all services; healthy when it returns
/ python3 mlops_manager.py run change_me   # green, or with the log of what failed
/ python3 mlops_manager.py open mlflow     # its runs, metrics and models
/ python3 mlops_manager.py stop

Progress goes to standard error, results to standard output.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted by Ctrl-C.
"""

    def main(self, *command: str) -> int:
        if self.nested_command:
            return DONE
        if command:
            near = difflib.get_close_matches(command[0], self._subcommands, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise WrongUse(
                f"There is no command {command[0]!r}.{hint}\nTry: {self.PROGNAME} --help"
            )
        self.help()
        return WRONG_USE


class ForServices(cli.Application):
    """A command for all services, or for those that are named."""

    names = cli.SwitchAttr(
        "--service",
        str,
        list=True,
        argname="NAME",
        help="only this service, or `airflow` for all of its components",
    )

    def chosen(self) -> list[Service]:
        return _select(self.names)


@MlopsManager.subcommand("start")
class Start(ForServices):
    """Start the services and wait until they are healthy; those that are so stay as they are"""

    def main(self) -> int:
        return _start(self.chosen())


@MlopsManager.subcommand("stop")
class Stop(ForServices):
    """Stop the services and all their processes, whatever state they are in"""

    def main(self) -> int:
        with console.Progress() as progress:
            # Whatever .env has become: to stop needs nothing of it.
            project = settings.Project(settings.find_root(), "", "", "", {})
            stopped = LocalBackend(project, progress.report).stop(self.chosen())
        if not stopped:
            console.err.print("Nothing was running.")
        return DONE


@MlopsManager.subcommand("restart")
class Restart(ForServices):
    """Stop and start, as after a change of .env"""

    def main(self) -> int:
        chosen = self.chosen()
        with console.Progress() as progress:
            LocalBackend(_project(), progress.report).stop(chosen)
        return _start(chosen)


@MlopsManager.subcommand("status")
class Status(cli.Application):
    """Show each service: its state, its page, and how to log in"""

    as_json = cli.Flag("--json", help="print a list of {service, state, url, pid} instead")

    def main(self) -> int:
        states = LocalBackend(_project(), _silent).status(_select([]))
        if self.as_json:
            console.print_json([state.as_json() for state in states])
        else:
            _print_states(states)
        return DONE


@MlopsManager.subcommand("logs")
class Logs(cli.Application):
    """Show the end of a service's log; the whole of it is in .gaiaflow/logs"""

    follow = cli.Flag(["-f", "--follow"], help="go on showing what is added, until Ctrl-C")

    def main(self, service: str) -> int:
        backend = LocalBackend(_project(), _silent)
        logs = [backend.log(chosen.name) for chosen in _select([service])]
        logs = [log for log in logs if log.exists()]
        if not logs:
            raise GaiaflowError(f"{service} has written no log yet.\n{_START_IT}")
        for log in logs:
            console.out.print(tail(log, lines=200), markup=False, soft_wrap=True)
        if self.follow:
            for line in follow_file(logs):
                console.out.print(line, markup=False, soft_wrap=True)
        return DONE


@MlopsManager.subcommand("run")
class Run(cli.Application):
    """Run a DAG and follow its tasks to the end; show the log of a task that fails"""

    conf = cli.SwitchAttr(
        "--conf", str, default="{}", argname="JSON", help='its parameters, as {"name": value}'
    )
    as_json = cli.Flag("--json", help="print the run and its tasks as JSON at the end")

    def main(self, dag_id: str) -> int:
        conf = _parse_conf(self.conf)
        project = _project()
        airflow = Airflow(project)
        started = time.monotonic()
        with console.Progress() as progress:
            dag = airflow.find_dag(dag_id, lambda what: progress.report(dag_id, "waiting", what))
            triggered = run = airflow.trigger(dag, conf)
            if dag["is_paused"] and dag["timetable_summary"]:
                schedule = dag["timetable_summary"]
                console.err.print(
                    f"{dag_id} was paused; from now on it runs on its schedule {schedule}."
                )
            progress.report(dag_id, "running", run.url)
            try:
                for run in airflow.follow(triggered):
                    for task in run.tasks:
                        progress.report(task.label, task.state, "")
                    if any(task.state == "deferred" for task in run.tasks):
                        LocalBackend(project, progress.report).start(_select(["airflow-triggerer"]))
            except KeyboardInterrupt:
                console.err.print(f"The run goes on without you: {run.url}", soft_wrap=True)
                raise
            progress.report(dag_id, run.state, run.url)
        self._show(airflow, run, time.monotonic() - started)
        return DONE if run.state == "success" else FAILED

    def _show(self, airflow: Airflow, run: DagRun, seconds: float) -> None:
        failed = [task for task in run.tasks if task.state == "failed"]
        for task in failed:
            console.err.rule(f"log of {task.label}, try {task.try_number}")
            console.err.print(airflow.task_log(run, task), markup=False, soft_wrap=True)
        if self.as_json:
            console.print_json({**asdict(run), "url": run.url, "seconds": round(seconds, 1)})
        elif run.state == "success":
            console.out.print(f"{run.dag_id} is green after {seconds:.1f} s: {run.url}")
        else:
            where = ", ".join(task.label for task in failed) or "no task"
            console.print_error(f"{run.dag_id} failed after {seconds:.1f} s in {where}.\n{run.url}")


@MlopsManager.subcommand("open")
class Open(cli.Application):
    """Open the page of a service in the browser: airflow, mlflow or jupyterlab"""

    def main(self, service: str) -> int:
        project = _project()
        chosen = next((found for found in _select([service]) if found.ports), None)
        if chosen is None or chosen.name == "object-store":
            raise WrongUse(f"{service} has no page. Pages: airflow, mlflow, jupyterlab")
        [state] = LocalBackend(project, _silent).status([chosen])
        if state.state != "healthy":
            raise GaiaflowError(f"{service} is {state.state}.\n{_START_IT}")
        _print_states([state])
        if not webbrowser.open(state.url):
            console.err.print("No browser was found here: open the address above in yours.")
        return DONE


@MlopsManager.subcommand("deps")
class Deps(cli.Application):
    """Bring the project's environment up to date, as after a change of its dependencies"""

    def main(self) -> int:
        project = _project()
        if environments.project_stamp(project.root, project.environment_manager).is_fresh():
            console.err.print("The environment is up to date.")
        else:
            environments.say(f"Making the project's environment with {project.environment_manager}")
            environments.make_project(project.root, project.environment_manager)
        return DONE


@MlopsManager.subcommand("clean")
class Clean(cli.Application):
    """Stop the services and remove their logs; files, data and environments stay"""

    data = cli.Flag("--data", help="also remove all runs, models and objects, for good")

    def main(self) -> int:
        project = _project()
        with console.Progress() as progress:
            LocalBackend(project, progress.report).stop(SERVICES)
        for name in ("logs", "airflow-home", "run", *(["data"] if self.data else [])):
            folder = project.state / name
            if folder.exists():
                shutil.rmtree(folder)
                console.err.print(f"removed {folder.relative_to(project.root)}", soft_wrap=True)
        return DONE


MlopsManager.subcommand("update", Update)


def _start(chosen: Sequence[Service]) -> int:
    with console.Progress() as progress:
        backend = LocalBackend(_project(), progress.report)
        failures = backend.start(chosen)
    _print_states(backend.status(chosen))
    for name, reason in failures.items():
        console.print_error(f"{name}: {reason}")
    if failures:
        shown = next(iter(failures))
        console.err.print(f"The whole log: {backend.log(shown)}", soft_wrap=True)
    return FAILED if failures else DONE


def _project() -> settings.Project:
    return settings.load(settings.find_root())


def _select(names: Sequence[str]) -> list[Service]:
    try:
        return select(names)
    except LookupError as error:
        raise WrongUse(error.args[0]) from None


def _print_states(states: Sequence[State]) -> None:
    rows = [(state.service, state.state, state.url, state.login) for state in states]
    console.out.print(console.table(["SERVICE", "STATE", "URL", "LOG IN"], rows))


def _parse_conf(text: str) -> dict[str, Any]:
    try:
        conf = json.loads(text)
    except ValueError as error:
        raise WrongUse(f"--conf is not JSON: {error}") from None
    if not isinstance(conf, dict):
        raise WrongUse('--conf must be a JSON object, as {"name": value}')
    return conf


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _silent(*_: str) -> None:
    pass
