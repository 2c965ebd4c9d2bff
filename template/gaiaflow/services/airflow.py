"""Airflow's components, in Airflow's own environment."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from gaiaflow.project import envfile, inherited, variables
from gaiaflow.project.clients import client_env
from gaiaflow.project.databases import keep_copy
from gaiaflow.project.image import package_image
from gaiaflow.project.paths import AIRFLOW_LOCK
from gaiaflow.project.project import Project
from gaiaflow.project.stamps import Stamp
from gaiaflow.services.base import Service, airflow_python, answers, ask, data, port, project_python

# The configuration that processes and containers share.
_EVERYWHERE = Path(__file__).with_name("airflow.env")

# On Airflow's path, it makes Airflow load gaiaflow.notifying.
_NOTIFYING = Path("gaiaflow", "notifying", "entry_points")

# A component without a heartbeat for this long is unhealthy (Airflow's own threshold).
_HEARTBEAT_LIMIT = datetime.timedelta(seconds=30)


def _airflow(*arguments: str) -> Callable[[Project], list[str]]:
    """An Airflow command."""
    return lambda project: [
        str(airflow_python(project)),
        "-m",
        "gaiaflow.entrypoints.quick",
        "airflow",
        *arguments,
    ]


def _api_server(project: Project) -> list[str]:
    env = project.env
    passwords = json.dumps({env["AIRFLOW_USER"]: env["AIRFLOW_PASSWORD"]})
    envfile.write(_passwords_file(project), passwords)
    address = ("--host", "127.0.0.1", "--port", env["AIRFLOW_PORT"])
    return _airflow("api-server", *address, "--workers", "1")(project)


def _passwords_file(project: Project) -> Path:
    return _home(project) / "passwords.json"


def _home(project: Project) -> Path:
    folder = project.state.airflow_home
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def task_env(project: Project) -> dict[str, str]:
    """The variables that a function finds in a task of mode `dev`."""
    return {
        **client_env(project),
        "MPLBACKEND": "agg",  # overrides ~/.config/matplotlib: tasks have no display
        "PYTHONPATH": str(project.root),
        **inherited.PYTHON,
    }


def _env(project: Project) -> Mapping[str, str]:
    """The components' configuration, as environment variables."""
    env = project.env
    here = {
        "CORE__DAGS_FOLDER": project.root / "dags",
        "CORE__PARALLELISM": env["PARALLEL_TASKS"],
        "CORE__FERNET_KEY": env["AIRFLOW_FERNET_KEY"],
        "CORE__EXECUTION_API_SERVER_URL": project.url("AIRFLOW_PORT") + "/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{env['AIRFLOW_USER']}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": _passwords_file(project),
        "DATABASE__SQL_ALCHEMY_CONN": _address(_database(project)),
        "LOGGING__BASE_LOG_FOLDER": project.state.logs / "tasks",
        "API__HOST": "127.0.0.1",
        "API__BASE_URL": project.url("AIRFLOW_PORT"),
        "API__SECRET_KEY": env["AIRFLOW_SECRET_KEY"],
        "API_AUTH__JWT_SECRET": env["AIRFLOW_JWT_SECRET"],
    }
    return {
        **task_env(project),
        **envfile.read(_EVERYWHERE),
        variables.MODE: env[variables.MODE],
        variables.PYTHON: project_python(project),
        variables.NAME: env["COMPOSE_PROJECT_NAME"],
        variables.IMAGE: package_image(project),
        variables.KEEP_FAILED: env.get(variables.KEEP_FAILED, ""),
        variables.SECRETS: json.dumps(project.own_variables()),
        variables.NOTIFY_URLS: env.get(variables.NOTIFY_URLS, ""),
        **inherited.without_socks(os.environ),
        "AIRFLOW_HOME": str(_home(project)),
        "PYTHONPATH": os.pathsep.join(_python_path(project)),
        **{f"AIRFLOW__{name}": str(value) for name, value in here.items()},
    }


def _python_path(project: Project) -> list[str]:
    notifies = bool(project.env.get(variables.NOTIFY_URLS))
    return [str(project.root), *[str(project.root / _NOTIFYING)] * notifies]


def _address(database: Path) -> str:
    """The URL of a SQLite database; an unescaped `?` would begin options."""
    return f"sqlite:///{str(database).replace('?', '%3F')}"


def _database(project: Project) -> Path:
    return data(project) / "airflow.db"


def _migrate(project: Project) -> list[str]:
    keep_copy(_database(project))
    return _airflow("db", "migrate")(project)


def _init_stamp(project: Project) -> Stamp:
    # A new lock may mean a new Airflow. Asking Airflow itself would take 4 s at every start.
    database = _database(project)
    return Stamp(database.with_suffix(".stamp"), database, [AIRFLOW_LOCK])


def _beats(job_type: str) -> Callable[[Project, float], bool]:
    """A health check: the component had a recent heartbeat since it was started.

    Read heartbeats from the database: the API server, which also reports them, starts last and
    may be down.
    """
    last_beat = "SELECT max(latest_heartbeat) FROM job WHERE job_type = ? AND state = 'running'"

    def healthy(project: Project, started: float) -> bool:
        address = _database(project).as_uri() + "?mode=ro"
        try:
            with contextlib.closing(sqlite3.connect(address, uri=True, timeout=2)) as database:
                [beat] = database.execute(last_beat, [job_type]).fetchone()
        except sqlite3.Error:
            return False
        return _is_fresh(beat, started)

    return healthy


def _beats_in_container(component: str) -> Callable[[Project, float], bool]:
    """The same check, asking the API server because the database is unreachable from here."""

    def healthy(project: Project, started: float) -> bool:
        answer = ask(project.url("AIRFLOW_PORT") + "/api/v2/monitor/health")
        known = json.loads(answer)[component] if answer else {}
        return _is_fresh(known.get(f"latest_{component}_heartbeat"), started)

    return healthy


def _is_fresh(beat: str | None, started: float) -> bool:
    """Whether a component's last heartbeat (ISO 8601, UTC) is recent, and since its start."""
    if not beat:
        return False
    moment = datetime.datetime.fromisoformat(beat.replace("Z", "+00:00"))
    moment = moment.replace(tzinfo=datetime.UTC)
    recent = datetime.datetime.now(datetime.UTC) - moment < _HEARTBEAT_LIMIT
    return recent and moment.timestamp() > started


def _uses_triggers(project: Project) -> bool:
    """Whether a DAG file seems to defer tasks, which needs the triggerer (160 MiB)."""
    signs = re.compile(r"deferrable\s*=\s*True|\.defer\(|Trigger\(|Async\w*\(")
    files = (project.root / "dags").rglob("*.py")
    return any(signs.search(file.read_text(encoding="utf-8", errors="ignore")) for file in files)


def _login(project: Project) -> str:
    return f"user {project.env['AIRFLOW_USER']}, password {project.env['AIRFLOW_PASSWORD']}"


_NEEDS = ("airflow-init",)
_TASKS_USE = ("mlflow", "object-store")

SERVICES = (
    Service("airflow-init", _migrate, _env, oneshot=True, stamp=_init_stamp),
    Service(
        "airflow-api-server",
        _api_server,
        _env,
        depends_on=_NEEDS,
        # Requesting this page builds the API for tasks; otherwise the first task would wait for it.
        healthy=answers("AIRFLOW_PORT", "/execution/health"),
        ports=port("AIRFLOW_PORT"),
        login=_login,
    ),
    Service(
        "airflow-scheduler",
        # Its log server would listen on all interfaces, and the logs are all on this machine.
        _airflow("scheduler", "--skip-serve-logs"),
        _env,
        depends_on=_NEEDS,
        uses=("environment", "airflow-api-server", "airflow-dag-processor", *_TASKS_USE),
        healthy=_beats("SchedulerJob"),
        healthy_in_container=_beats_in_container("scheduler"),
    ),
    Service(
        "airflow-dag-processor",
        _airflow("dag-processor"),
        _env,
        depends_on=_NEEDS,
        healthy=_beats("DagProcessorJob"),
        healthy_in_container=_beats_in_container("dag_processor"),
    ),
    Service(
        "airflow-triggerer",
        _airflow("triggerer", "--skip-serve-logs"),
        _env,
        depends_on=_NEEDS,
        uses=("airflow-scheduler",),
        healthy=_beats("TriggererJob"),
        healthy_in_container=_beats_in_container("triggerer"),
        enabled=_uses_triggers,
    ),
)
