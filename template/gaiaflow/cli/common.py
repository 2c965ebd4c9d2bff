"""What all commands share: running a manager, reporting its errors, finding its project."""

from __future__ import annotations

import difflib
import signal
import sys
from typing import NoReturn

import psutil
from plumbum import cli

from gaiaflow import __version__, console, warm
from gaiaflow.airflow_client import Airflow, DagRun, Task, WrongConf
from gaiaflow.backends.families import Families
from gaiaflow.project.errors import GaiaflowError, explain
from gaiaflow.project.project import Project, find_root, prepare

cli.Application.unbind_switches("--completions")  # `completion` is for these commands, and zsh

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


class WrongUse(Exception):
    """The command line is invalid. The message says what would be valid."""


class Manager(cli.Application):
    """A program with subcommands; without one, it prints its help."""

    VERSION = __version__
    SUBCOMMAND_HELPMSG = False

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


def main(manager: type[Manager]) -> NoReturn:
    """Run a manager; turn errors into a message and an exit code."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) != signal.SIG_IGN:  # as under nohup
            signal.signal(name, _interrupt)
    try:
        _, code = manager.run(exit=False)
    except (WrongUse, WrongConf) as error:
        console.print_error(str(error))
        code = WRONG_USE
    except GaiaflowError as error:
        console.print_error(str(error))
        code = error.exit_code
    except BrokenPipeError:  # the reader closed the pipe
        code = DONE
    except OSError as error:
        console.print_error(explain(error))
        code = FAILED
    except KeyboardInterrupt:
        console.err.print("interrupted")
        code = INTERRUPTED
    sys.exit(code)


def project() -> Project:
    """Load the project that contains this framework; create its `.env` if it is missing."""
    return prepare(find_root())


def silent(*_: str) -> None:
    """Show no progress."""


def warm_env(project: Project) -> dict[str, str] | None:
    """The variables that warm tasks have: those of the running scheduler. None if none runs."""
    scheduler = Families(project.root).leader("airflow-scheduler")
    try:
        process = scheduler.process if scheduler else None
        return warm.base(process.environ()) if process else None
    except psutil.Error:  # it has just ended
        return None


def show_failures(airflow: Airflow, run: DagRun) -> list[Task]:
    """Print the logs of a run's failed tasks, and return those tasks.

    Of a mapped task, only the first: the others often fail in the same way.
    """
    failed = [task for task in run.tasks if task.state == "failed"]
    failed.sort(key=lambda task: task.started or "")  # the cause before what it causes
    shown = list({task.task_id: task for task in reversed(failed)}.values())[::-1]
    for task in shown:
        console.err.rule(f"log of {task.label}, try {task.try_number}")
        console.err.print(airflow.task_log(run, task), markup=False, soft_wrap=True)
    return shown


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
