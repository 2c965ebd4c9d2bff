"""Switch from the user's Python to Airflow's environment, which has what the managers need."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from gaiaflow.project import environments, programs, variables
from gaiaflow.project.errors import GaiaflowError, explain
from gaiaflow.project.paths import StateFolder


def enter_airflow_environment(script: str) -> None:
    """Create Airflow's environment if necessary, and run the script again in it.

    From then on, environment variables meant for other projects are gone.

    If the environment can't be created, end the program with a message and exit code 1, or 4 if an
    update needs it to finish.
    """
    if os.environ.get(variables.CONNECTED):  # set by docker-compose.yml
        sys.exit(
            "error: this terminal is in a container, which can't manage containers.\n"
            "Run this command in a terminal on the computer itself."
        )
    path = Path(script).resolve()
    python = StateFolder(path.parent).airflow_python
    first = path.name == "mlops_manager.py" and sys.argv[1:2]
    whole = environments.airflow_stamp(path.parent).is_fresh()
    if first == ["completion"] and not whole and any("--words" in word for word in sys.argv):
        sys.exit(0)  # on TAB, nobody expects an installation
    if first == ["stop"] and not whole and not _anything_runs(path.parent):
        programs.say("Nothing was running.")
        sys.exit(0)  # without creating an environment just for that
    if first == ["doctor"] and not {"staging", "prod"} & set(sys.argv[2:]):  # of this machine
        _doctor_without_environment(path.parent)
    try:
        environments.make_airflow(path.parent)
    except (GaiaflowError, OSError) as error:
        what = explain(error) if isinstance(error, OSError) else error
        programs.say(f"error: {what}\nTo see what else is missing: python3 mlops_manager.py doctor")
        if sys.argv[1:3] == ["update", "--continue"]:
            undo = "python3 .gaiaflow/update/undo.py"
            programs.say(f"The update is merged but not finished.\nTry again, or undo it: {undo}")
            sys.exit(4)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    _keep_private(path.parent)
    env = programs.clean_env()
    if Path(sys.prefix).resolve() != python.parent.parent.resolve():
        os.execve(python, [str(python), str(path), *sys.argv[1:]], env)
    os.environ.clear()
    os.environ.update(env)


def _keep_private(root: Path) -> None:
    """Close `.gaiaflow` to other users: it contains logs, databases, sockets and keys."""
    state = StateFolder(root)
    with contextlib.suppress(OSError):  # it does not exist yet, or is somebody else's
        if state.path.stat().st_mode & 0o077:
            state.path.chmod(0o700)


def _anything_runs(root: Path) -> bool:
    """Whether, according to the records, services were started and not stopped since."""
    state = StateFolder(root)
    return any(state.run.glob("*.json")) or state.compose_root.exists()


def _doctor_without_environment(root: Path) -> None:
    """If Airflow's environment is unusable, run doctor without it and end the program."""
    from gaiaflow.doctor import report, tools  # here: other commands should not wait for it
    from gaiaflow.doctor.programs import Programs

    if not tools.airflow_works(root, Programs(os.environ)):
        sys.exit(report.main(root, sys.argv[2:]))
