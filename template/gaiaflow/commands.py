"""The commands of `mlops_manager.py`: they parse and print; the work is done elsewhere."""

from __future__ import annotations

import contextlib
import difflib
import json
import signal
import sys
import time
import webbrowser
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NoReturn

from plumbum import cli

from gaiaflow import __version__, backends, console, detached, environments, images, settings
from gaiaflow.backends import Backend, State
from gaiaflow.doctor.command import Doctor
from gaiaflow.errors import GaiaflowError, explain
from gaiaflow.pipelines import Airflow, DagRun, WrongConf, overview
from gaiaflow.services import Service, select
from gaiaflow.updating import Update

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

_START_IT = "Start it: python3 mlops_manager.py start"


class WrongUse(Exception):
    """The command line makes no sense. The message says how it would."""


def main(manager: type[cli.Application] | None = None) -> NoReturn:
    """Run a manager and turn what can go wrong into a message and an exit code."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) != signal.SIG_IGN:  # as under nohup
            signal.signal(name, _interrupt)
    try:
        _, code = (manager or MlopsManager).run(exit=False)
    except (WrongUse, WrongConf) as error:
        console.print_error(str(error))
        code = WRONG_USE
    except GaiaflowError as error:
        console.print_error(str(error))
        code = error.exit_code
    except BrokenPipeError:  # the reader of a pipe has seen enough
        code = DONE
    except OSError as error:
        console.print_error(explain(error))
        code = FAILED
    except KeyboardInterrupt:
        console.err.print("interrupted")
        code = INTERRUPTED
    sys.exit(code)


def unknown_command(manager: cli.Application, command: str) -> WrongUse:
    """What to say of a command that a manager does not have."""
    near = difflib.get_close_matches(command, manager._subcommands, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return WrongUse(f"There is no command {command!r}.{hint}\nTry: {manager.PROGNAME} --help")


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

Services run as processes, or as containers (start --backend compose); all commands do the same.
Progress goes to standard error, results to standard output.
If something does not work: python3 mlops_manager.py doctor

Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted by Ctrl-C.
"""

    def main(self, *command: str) -> int:
        if self.nested_command:
            return DONE
        if command:
            raise unknown_command(self, command[0])
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


@MlopsManager.subcommand("start")
class Start(ForServices):
    """Start the services and wait until they are healthy; those that are so stay as they are"""

    backend = cli.SwitchAttr(
        "--backend",
        cli.Set("local", "compose", case_sensitive=True),
        argname="NAME",
        help="run them as processes (local) or as containers (compose); default: see .env.example",
    )

    def main(self) -> int:
        if (code := _outlive_service(self.names)) is not None:
            return code
        return _start(self.names, str(self.backend) if self.backend else None)


@MlopsManager.subcommand("stop")
class Stop(ForServices):
    """Stop the services and all their processes, whatever state they are in"""

    def main(self) -> int:
        if (code := _outlive_service(self.names)) is not None:
            return code
        with console.Progress() as progress:
            stopped = _stop(self.names, progress.report)
        if not stopped:
            console.err.print("Nothing was running.")
        return DONE


@MlopsManager.subcommand("restart")
class Restart(ForServices):
    """Stop and start, as after a change of .env"""

    def main(self) -> int:
        if (code := _outlive_service(self.names)) is not None:
            return code
        name = backends.active(_project())
        with console.Progress() as progress:
            _stop(self.names, progress.report)
        return _start(self.names, name)


@MlopsManager.subcommand("status")
class Status(cli.Application):
    """Show each service: its state, its page, and how to log in"""

    as_json = cli.Flag("--json", help="print a list of {service, state, url, pid, container}")

    def main(self) -> int:
        backend = _active(_silent)
        states = backend.status(_select(backend, []))
        if self.as_json:
            console.print_json([state.as_json() for state in states])
        else:
            _print_states(states)
        return DONE


@MlopsManager.subcommand("logs")
class Logs(cli.Application):
    """Show the end of a service's log (of processes, the whole of it is in .gaiaflow/logs)"""

    follow = cli.Flag(["-f", "--follow"], help="go on showing what is added, until Ctrl-C")

    def main(self, service: str) -> int:
        backend = _active(_silent)
        for line in backend.log(_select(backend, [service]), 200, self.follow):
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
                    f"{dag_id} was paused; from now on it runs on its schedule ({schedule}).\n"
                    f"To pause it again: {airflow.project.url('AIRFLOW_PORT')}/dags/{dag_id}",
                    soft_wrap=True,
                )
            progress.report(dag_id, "running", run.url)
            try:
                for run in airflow.follow(triggered):
                    for name, state, detail in overview(run.tasks):
                        progress.report(name, state, detail)
                    if any(task.state == "deferred" for task in run.tasks):
                        backend = _active(progress.report)
                        backend.start(_select(backend, ["airflow-triggerer"]))
            except KeyboardInterrupt:
                console.err.print(f"The run goes on without you: {run.url}", soft_wrap=True)
                raise
            progress.report(dag_id, run.state, run.url)
        self._show(airflow, run, time.monotonic() - started)
        return DONE if run.state == "success" else FAILED

    def _show(self, airflow: Airflow, run: DagRun, seconds: float) -> None:
        failed = [task for task in run.tasks if task.state == "failed"]
        # Of a mapped task the first: the others often fail in the same way.
        shown = list({task.task_id: task for task in reversed(failed)}.values())[::-1]
        for task in shown:
            console.err.rule(f"log of {task.label}, try {task.try_number}")
            console.err.print(airflow.task_log(run, task), markup=False, soft_wrap=True)
        if self.as_json:
            console.print_json({**asdict(run), "url": run.url, "seconds": round(seconds, 1)})
        elif run.state == "success":
            console.out.print(f"{run.dag_id} is green after {seconds:.1f} s: {run.url}")
        else:
            where = ", ".join(task.label for task in shown) or "no task"
            if more := len(failed) - len(shown):
                where += f" and {more} more"
            console.print_error(f"{run.dag_id} failed after {seconds:.1f} s in {where}.\n{run.url}")


@MlopsManager.subcommand("open")
class Open(cli.Application):
    """Open the page of a service in the browser: airflow, mlflow or jupyterlab"""

    def main(self, service: str) -> int:
        backend = _active(_silent)
        chosen = next((found for found in _select(backend, [service]) if found.ports), None)
        if chosen is None or chosen.name == "object-store":
            raise WrongUse(f"{service} has no page. Pages: airflow, mlflow, jupyterlab")
        [state] = backend.status([chosen])
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
        if backends.active(project) == "compose":
            with console.Progress() as progress:
                _active(progress.report).update_environment()
            console.err.print(
                "The next task uses it, and so does a notebook whose kernel restarts."
            )
        return DONE


@MlopsManager.subcommand("image")
class Image(cli.Application):
    """Print the name of the project's own image, in which tasks run in containers and clusters"""

    def main(self) -> int:
        console.out.print(images.package_image(_project()), markup=False)
        return DONE


@MlopsManager.subcommand("build")
class Build(cli.Application):
    """Build the project's own image: its dependencies, its package, and the framework"""

    def main(self) -> int:
        from gaiaflow.backends.compose import ComposeBackend

        with console.Progress() as progress:
            image = ComposeBackend(_project(), progress.report).build_package()
        console.out.print(image, markup=False)
        return DONE


@MlopsManager.subcommand("clean")
class Clean(cli.Application):
    """Stop the services and remove their logs; files, data and environments stay"""

    data = cli.Flag("--data", help="also remove all runs, models and objects, for good; asks first")
    yes = cli.Flag(["-y", "--yes"], help="do not ask")

    def main(self) -> int:
        project = _project()
        if self.data and not self.yes:
            question = f"Remove all runs, models and objects of {project.root.name}, for good?"
            answer = console.confirm(question)
            if answer is None:
                raise WrongUse(
                    "clean --data removes all runs, models and objects, for good, "
                    "and nobody is there to be asked.\nIf that is what you want, add --yes."
                )
            if not answer:
                console.err.print("Nothing was removed.")
                return FAILED
        options = ["--data", "--yes"] if self.data else []
        if (code := _outlive_service([], ["clean", *options])) is not None:
            return code
        with console.Progress() as progress:
            for name in backends.used(project):
                for removed in backends.make(name, project, progress.report).clean(self.data):
                    console.err.print(f"removed {removed}", soft_wrap=True)
        return DONE


MlopsManager.subcommand("ls", "gaiaflow.object_commands.List")
MlopsManager.subcommand("get", "gaiaflow.object_commands.Get")
MlopsManager.subcommand("put", "gaiaflow.object_commands.Put")
MlopsManager.subcommand("doctor", Doctor)
MlopsManager.subcommand("update", Update)


def _outlive_service(names: Sequence[str], arguments: Sequence[str] | None = None) -> int | None:
    """Run this command detached if it might stop the service in whose terminal it was called.

    Returns:
        Its exit code; None: it was not called in one, and can go on here.
    """
    root = settings.find_root()
    service = detached.surrounding_service(root)
    group = (service or "").partition("-")[0]  # "airflow"
    if service is None or (names and not {service, group} & set(names)):
        return None
    console.err.print(
        f"This terminal belongs to {service}, which may be stopped now. The command goes on without"
        f" it; what it says is in {detached.log_of(root)}",
        soft_wrap=True,
    )
    try:
        return detached.run(root, sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        console.err.print(f"It goes on without you: {detached.log_of(root)}", soft_wrap=True)
        raise


def _start(names: Sequence[str], wanted: str | None) -> int:
    project = _project()
    name, why = (wanted, "") if wanted else backends.choose(project)
    with console.Progress() as progress:
        for other in backends.used(project):
            if other != name:  # both want the same ports
                _stop_other(other, project, progress.report)
        backends.remember(project, name)
        backend = backends.make(name, project, progress.report)
        if why:
            what = {"local": "processes", "compose": "containers"}[name]
            console.err.print(f"Services run as {what}: {why}.")
        chosen = _select(backend, names)
        if not names:  # who names a service gets it
            chosen = [found for found in chosen if not found.wanted or found.wanted(project)]
        failures = backend.start(chosen)
    _print_states(backend.status([found for found in backend.with_needs(chosen) if not found.once]))
    for service, reason in failures.items():
        console.print_error(f"{service}: {reason}")
    if failures:
        console.err.print(f"More: python3 mlops_manager.py logs {next(iter(failures))}")
    return FAILED if failures else DONE


def _stop_other(name: str, project: settings.Project, report: backends.Report) -> None:
    """Stop the backend that is not wanted now; its data stay."""
    try:
        other = backends.make(name, project, report)
        other.stop(_select(other, []))
    except GaiaflowError as error:
        if name != "compose":
            raise
        report("containers", "skipped", str(error).splitlines()[0])  # then none of them runs


def _stop(names: Sequence[str], report: backends.Report) -> list[str]:
    # Whatever .env has become: to stop processes needs nothing of it.
    project = settings.Project(settings.find_root(), "", "", "", {})
    active = backends.active(project)
    stopped = []
    for name in [active] if names else backends.used(project):
        backend = backends.make(name, project if name == "local" else _project(), report)
        try:
            stopped += backend.stop(_select(backend, names))
        except GaiaflowError:
            if name == active:
                raise
    _sweep(project)
    return stopped


def _sweep(project: settings.Project) -> None:
    """Remove the containers that tasks of processes have left, if there ever were any."""
    marker = project.state / "run" / "task-containers"  # made by the operator
    if marker.exists():
        from gaiaflow import engine

        with contextlib.suppress(GaiaflowError):  # then no container runs either
            engine.sweep(engine.connect(), marker.read_text(encoding="utf-8"))


def _active(report: backends.Report) -> Backend:
    project = _project()
    return backends.make(backends.active(project), project, report)


def _project() -> settings.Project:
    return settings.load(settings.find_root())


def _select(backend: Backend, names: Sequence[str]) -> list[Service]:
    try:
        return select(names, backend.services)
    except LookupError as error:
        raise WrongUse(error.args[0]) from None


def _print_states(states: Sequence[State]) -> None:
    rows = [(state.service, state.state, state.url, state.login) for state in states]
    console.print_states(rows)


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
