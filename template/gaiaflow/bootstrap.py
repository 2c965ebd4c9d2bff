"""From whichever Python the user called into the environment that has what the managers need."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from gaiaflow import environments
from gaiaflow.errors import GaiaflowError, explain


def enter_airflow_environment(script: str) -> None:
    """Make Airflow's environment if need be, and run the script again in it.

    From then on the environment variables are without what is meant for other projects.

    Ends the program with a message and exit code 1 if the environment cannot be made, or with 4 if
    that is what an update still lacks.
    """
    if os.environ.get("GAIAFLOW_CONNECTED"):  # as docker-compose.yml sets it
        sys.exit(
            "error: this is a terminal in a container, which cannot manage containers.\n"
            "Run this command in a terminal of the computer itself."
        )
    path = Path(script).resolve()
    python = environments.airflow_python(path.parent)
    first = path.name == "mlops_manager.py" and sys.argv[1:2]
    whole = environments.airflow_stamp(path.parent).is_fresh()
    if first == ["stop"] and not whole and not _anything_runs(path.parent):
        environments.say("Nothing was running.")
        sys.exit(0)  # and so no environment need be made to stop it
    if first == ["doctor"]:
        _doctor_without_environment(path.parent)
    try:
        environments.make_airflow(path.parent)
    except (GaiaflowError, OSError) as error:
        what = explain(error) if isinstance(error, OSError) else error
        environments.say(f"error: {what}\nTo see what else is missing: python3 {path.name} doctor")
        if sys.argv[1:3] == ["update", "--continue"]:
            undo = "python3 .gaiaflow/update/undo.py"
            environments.say(
                f"The update is merged, but not finished. Try it again, or go back: {undo}"
            )
            sys.exit(4)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    _keep_private(path.parent)
    env = environments.clean_env()
    if Path(sys.prefix).resolve() != python.parent.parent.resolve():
        os.execve(python, [str(python), str(path), *sys.argv[1:]], env)
    os.environ.clear()
    os.environ.update(env)


def _keep_private(root: Path) -> None:
    """Let nobody but the owner into `.gaiaflow`: it holds logs, databases, sockets and keys."""
    state = root / ".gaiaflow"
    with contextlib.suppress(OSError):  # there is none yet, or it is not ours to close
        if state.stat().st_mode & 0o077:
            state.chmod(0o700)


def _anything_runs(root: Path) -> bool:
    """Whether services were started and not stopped since, as far as records tell."""
    state = root / ".gaiaflow"
    return any((state / "run").glob("*.json")) or (state / "compose-root").exists()


def _doctor_without_environment(root: Path) -> None:
    """If Airflow's environment can't be used, let doctor say why, and end the program."""
    from gaiaflow.doctor import report, tools  # here: no other command should wait for it
    from gaiaflow.doctor.programs import Programs

    if not tools.airflow_works(root, Programs(os.environ)):
        sys.exit(report.main(root, sys.argv[2:]))
