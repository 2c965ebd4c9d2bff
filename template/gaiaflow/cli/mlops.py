"""The commands of `mlops_manager.py`: parse arguments and print results."""

from __future__ import annotations

import contextlib
import sys
import webbrowser
from collections.abc import Sequence
from typing import NoReturn

from plumbum import cli

from gaiaflow import backends, console, warm
from gaiaflow.backends import Backend, ServiceStatus, local
from gaiaflow.cli import common, detached
from gaiaflow.cli.common import DONE, FAILED, Manager, WrongUse
from gaiaflow.cli.doctor import Doctor
from gaiaflow.project import image, programs, variables
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.paths import StateFolder
from gaiaflow.project.project import Project, find_root
from gaiaflow.services import Service, check_own, keep_own_ports, own_services, select
from gaiaflow.update.updating import Update

_START_IT = "Start it: python3 mlops_manager.py start"


def main() -> NoReturn:
    """Run `mlops_manager.py`."""
    common.main(MlopsManager)


class MlopsManager(Manager):
    """Start, stop and use this project's Airflow, MLflow, object store and JupyterLab."""

    PROGNAME = "python3 mlops_manager.py"
    DESCRIPTION_MORE = """
A first session:
/ python3 mlops_manager.py start           # all services; waits for them
/ python3 mlops_manager.py run change_me   # shows the logs of failed tasks
/ python3 mlops_manager.py call my_project.train.train:train --from-run   # one function of it
/ python3 mlops_manager.py open mlflow     # runs, metrics and models
/ python3 mlops_manager.py open maps       # scenes and products on a map
/ python3 mlops_manager.py models          # versions, champions and metrics
/ python3 mlops_manager.py stop

Services run as processes, or as containers (start --backend compose); all commands work for both.
Progress goes to standard error, results to standard output.
If something does not work: python3 mlops_manager.py doctor

Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted by Ctrl-C.
"""


class ForServices(cli.Application):
    """A command for all services, or for named ones."""

    names = cli.SwitchAttr(
        "--service",
        str,
        list=True,
        argname="NAME",
        help="only this service, or `airflow` for all of its components",
    )


@MlopsManager.subcommand("start")
class Start(ForServices):
    """Start the services and wait until they are healthy; leave healthy ones running"""

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
    """Stop the services and all their processes, whatever their state"""

    def main(self) -> int:
        if (code := _outlive_service(self.names)) is not None:
            return code
        with console.Progress() as progress:
            stopped = _stop(self.names, progress.notify)
        if not stopped:
            console.err.print("Nothing was running.")
        return DONE


@MlopsManager.subcommand("restart")
class Restart(ForServices):
    """Stop and start the services, such as after a change to .env"""

    def main(self) -> int:
        if (code := _outlive_service(self.names)) is not None:
            return code
        project = common.project()
        check_own(project.root)  # before anything stops
        name = backends.active(project.state)
        with console.Progress() as progress:
            stopped = _stop(self.names, progress.notify)
        return _start(self.names, name, also=stopped)


@MlopsManager.subcommand("status")
class Status(cli.Application):
    """Show the state, URL and login of each service"""

    as_json = cli.Flag("--json", help="print a list of {service, state, url, pid, container}")

    def main(self) -> int:
        backend = _active(common.silent)
        states = backend.status(_select(backend.services, []))
        if self.as_json:
            console.print_json([state.as_json() for state in states])
        else:
            _print_states(states)
            project = backend.project
            if backend.name == "local" and project.env[variables.MODE] == "dev":
                console.out.print(f"Warm tasks: {warm.describe(project.root)}", markup=False)
        return DONE


@MlopsManager.subcommand("logs")
class Logs(cli.Application):
    """Show the end of a service's log (the full logs of processes are in .gaiaflow/logs)"""

    follow = cli.Flag(["-f", "--follow"], help="follow the log until Ctrl-C")

    def main(self, service: str) -> int:
        backend = _active(common.silent)
        for line in backend.log(_select(backend.services, [service]), 200, self.follow):
            console.out.print(line, markup=False, soft_wrap=True)
        return DONE


MlopsManager.subcommand("run", "gaiaflow.cli.running.Run")
MlopsManager.subcommand("call", "gaiaflow.cli.calling.Call")
MlopsManager.subcommand("new", "gaiaflow.cli.adding.New")
MlopsManager.subcommand("remove", "gaiaflow.cli.adding.Remove")


@MlopsManager.subcommand("open")
class Open(cli.Application):
    """Open the page of a service in the browser: airflow, mlflow, jupyterlab, maps, or your own"""

    def main(self, service: str) -> int:
        backend = _active(common.silent)
        named = _select(backend.services, [service])
        chosen = next((found for found in named if found.ports), None)
        if chosen is None or chosen.name in {"object-store", "serving"}:
            own = "".join(f", {each.name}" for each in own_services(backend.project.root))
            raise WrongUse(f"{service} has no page. Pages: airflow, mlflow, jupyterlab, maps{own}")
        states = backend.status([chosen])
        if any(state.state == "healthy" for state in states):
            _print_states(states)
        elif chosen.is_enabled(backend.project):
            raise GaiaflowError(f"{service} is {states[0].state}.\n{_START_IT}")
        elif code := _start([service], backend.name):
            return code
        if not webbrowser.open(chosen.entrance_url(common.project())):
            console.err.print("No browser was found here: open the address above in yours.")
        return DONE


@MlopsManager.subcommand("deps")
class Deps(cli.Application):
    """Update the project's environment, such as after a change to its dependencies"""

    def main(self) -> int:
        project = common.project()
        if project.environment.stamp.is_fresh():
            console.err.print("The environment is up to date.")
        else:
            programs.say(
                f"Updating the project's environment with {project.identity.environment_manager}"
            )
            project.environment.make()
        if backends.active(project.state) == "compose":
            with console.Progress() as progress:
                _active(progress.notify).update_environment()
            console.err.print(
                "The next task uses it, and so does a notebook whose kernel restarts."
            )
        return DONE


@MlopsManager.subcommand("image")
class Image(cli.Application):
    """Print the name of the project's image, which tasks use in containers and clusters"""

    def main(self) -> int:
        console.out.print(image.package_image(common.project()), markup=False)
        return DONE


@MlopsManager.subcommand("build")
class Build(cli.Application):
    """Build the project's image: its dependencies, its package and the framework"""

    def main(self) -> int:
        from gaiaflow.backends.compose import ComposeBackend

        with console.Progress() as progress:
            image = ComposeBackend(common.project(), progress.notify).build_package()
        console.out.print(image, markup=False)
        return DONE


@MlopsManager.subcommand("clean")
class Clean(cli.Application):
    """Stop the services and remove their logs; files, data and environments stay"""

    data = cli.Flag("--data", help="also remove all runs, models and objects for good; asks first")
    yes = cli.Flag(["-y", "--yes"], help="do not ask")

    def main(self) -> int:
        project = common.project()
        if self.data and not self.yes:
            question = f"Remove all runs, models and objects of {project.root.name} for good?"
            answer = console.confirm(question)
            if answer is None:
                raise WrongUse(
                    "clean --data removes all runs, models and objects for good, "
                    "and can't ask for confirmation here.\nTo confirm, add --yes."
                )
            if not answer:
                console.err.print("Nothing was removed.")
                return FAILED
        options = ["--data", "--yes"] if self.data else []
        if (code := _outlive_service([], ["clean", *options])) is not None:
            return code
        with console.Progress() as progress:
            for name in backends.used(project.state):
                for removed in backends.make(name, project, progress.notify).clean(self.data):
                    console.err.print(f"removed {removed}", soft_wrap=True)
        return DONE


MlopsManager.subcommand("ls", "gaiaflow.cli.objects.List")
MlopsManager.subcommand("get", "gaiaflow.cli.objects.Get")
MlopsManager.subcommand("put", "gaiaflow.cli.objects.Put")
MlopsManager.subcommand("models", "gaiaflow.cli.models.Models")
MlopsManager.subcommand("promote", "gaiaflow.cli.models.Promote")
MlopsManager.subcommand("rollback", "gaiaflow.cli.models.Rollback")
MlopsManager.subcommand("notify", "gaiaflow.cli.notify.Notify")
MlopsManager.subcommand("lineage", "gaiaflow.cli.lineage.Lineages")
MlopsManager.subcommand("release", "gaiaflow.cli.release.Release")
MlopsManager.subcommand("publish", "gaiaflow.cli.release.Publish")
MlopsManager.subcommand("deploy", "gaiaflow.cli.release.Deploy")
MlopsManager.subcommand("doctor", Doctor)
MlopsManager.subcommand("completion", "gaiaflow.cli.completing.Completion")
MlopsManager.subcommand("update", Update)


def _outlive_service(names: Sequence[str], arguments: Sequence[str] | None = None) -> int | None:
    """Run this command detached if it might stop the service whose terminal it was called in.

    Returns:
        Its exit code, or None if it can continue here.
    """
    root = find_root()
    service = detached.surrounding_service(root)
    group = (service or "").partition("-")[0]  # "airflow"
    if service is None or (names and not {service, group} & set(names)):
        return None
    console.err.print(
        f"This terminal belongs to {service}, which may stop now. The command continues without "
        f"it; its output is also in {detached.log_of(root)}",
        soft_wrap=True,
    )
    try:
        return detached.run(root, sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        console.err.print(f"The command continues: {detached.log_of(root)}", soft_wrap=True)
        raise


def _start(names: Sequence[str], wanted: str | None, also: Sequence[str] = ()) -> int:
    project = common.project()
    check_own(project.root)
    keep_own_ports(project.root)
    name, why = (wanted, "") if wanted else backends.choose(project)
    with console.Progress() as progress:
        for other in backends.used(project.state):
            if other != name:  # both use the same ports
                _stop_other(other, project, progress.notify)
        backends.remember(project.state, name)
        backend = backends.make(name, project, progress.notify)
        if why:
            what = {"local": "processes", "compose": "containers"}[name]
            console.err.print(f"Services run as {what}: {why}.")
        chosen = _select(backend.services, names)
        if not names:  # a named service starts even if it is disabled
            chosen = [s for s in chosen if s.is_enabled(project) or s.name in also]
        failures = backend.start(chosen)
    _print_states(
        backend.status([found for found in backend.with_dependencies(chosen) if not found.oneshot])
    )
    for service, reason in failures.items():
        console.print_error(f"{service}: {reason}")
    if failures:
        console.err.print(f"More: python3 mlops_manager.py logs {next(iter(failures))}")
    return FAILED if failures else DONE


def _stop_other(name: str, project: Project, notify: backends.Notify) -> None:
    """Stop the other backend; its data stays."""
    try:
        other = backends.make(name, project, notify)
        other.stop(_select(other.services, []))
    except GaiaflowError as error:
        if name != "compose":
            raise
        notify("containers", "skipped", str(error).splitlines()[0])  # then none of them runs


def _stop(names: Sequence[str], notify: backends.Notify) -> list[str]:
    root = find_root()
    active = backends.active(StateFolder(root))
    stopped = []
    for name in [active] if names else backends.used(StateFolder(root)):
        try:
            if name == "local":  # needs no settings: .env may be broken
                stopped += local.stop(root, _select(local.all_services(root), names), notify)
            else:
                backend = backends.make(name, common.project(), notify)
                stopped += backend.stop(_select(backend.services, names))
        except GaiaflowError:
            if name == active:
                raise
    _sweep(StateFolder(root))
    return stopped


def _sweep(state: StateFolder) -> None:
    """Remove containers that tasks of the local backend have left, if there ever were any."""
    marker = state.task_containers  # created by the operator
    if marker.exists():
        from gaiaflow.backends import engine

        with contextlib.suppress(GaiaflowError):  # then no container runs either
            engine.sweep(engine.connect(), marker.read_text(encoding="utf-8"))


def _active(notify: backends.Notify) -> Backend:
    project = common.project()
    return backends.make(backends.active(project.state), project, notify)


def _select(services: Sequence[Service], names: Sequence[str]) -> list[Service]:
    try:
        return select(names, services)
    except LookupError as error:
        raise WrongUse(error.args[0]) from None


def _print_states(states: Sequence[ServiceStatus]) -> None:
    rows = [(state.service, state.state, state.url, state.login) for state in states]
    console.print_states(rows)
