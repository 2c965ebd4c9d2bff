"""The services of a project, as data: what each needs, how it starts, when it is healthy.

A new service is one entry in SERVICES.
"""

from __future__ import annotations

import datetime
import difflib
import http.client
import json
import os
import re
import socket
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaiaflow import envfile, environments
from gaiaflow.settings import Project, client_env
from gaiaflow.stamps import Stamp

# A scheduler that has not been heard of for this long is not healthy (Airflow's own threshold).
_HEARTBEAT_LIMIT = datetime.timedelta(seconds=30)


def _no_env(project: Project) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Service:
    """One process of the stack, or one step that others wait for.

    `healthy` gets the time (seconds since the epoch) at which the service was started: what it
    answers from an earlier life does not count. A step (`once`) is done when its command ends
    with 0, and is skipped while its stamp is fresh.
    """

    name: str
    title: str
    command: Callable[[Project], list[str]]
    env: Callable[[Project], Mapping[str, str]] = _no_env
    needs: tuple[str, ...] = ()
    healthy: Callable[[Project, float], bool] | None = None
    stamp: Callable[[Project], Stamp] | None = None
    port: str | None = None
    path: str = "/"
    login: Callable[[Project], str] | None = None
    wanted: Callable[[Project], bool] | None = None

    @property
    def once(self) -> bool:
        return self.healthy is None

    def url(self, project: Project) -> str:
        """The page of the service, or nothing."""
        return project.url(self.port) + self.path if self.port else ""


# --- the object store ------------------------------------------------------------------------


_STORE_SERVERS = ("s3", "master", "volume", "filer", "admin")
_STORE_PORT_OPTIONS = [
    f"{server}.port{kind}" for kind in ("", ".grpc") for server in _STORE_SERVERS
]


def _object_store_ports(project: Project) -> list[int]:
    """S3, master, volume server, filer and admin; then gRPC of each, 10000 higher as always."""
    first = project.port("OBJECT_STORE_PORT")
    http = list(range(first, first + 5))
    return http + [port + 10000 for port in http]


def _object_store(project: Project) -> list[str]:
    weed = environments.airflow_python(project.root).with_name("weed")
    options: dict[str, Any] = {
        "dir": _data(project) / "objects",
        "bucket": project.env["S3_BUCKET"],
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        **dict(zip(_STORE_PORT_OPTIONS, _object_store_ports(project), strict=True)),
        # Without keys of ours nothing may answer: no HTTP filer, no pages, no other protocols.
        "disableHttp": "true",
        "webdav": "false",
        "admin.ui": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.telemetry": "false",
    }
    Path(options["dir"]).mkdir(parents=True, exist_ok=True)
    return [str(weed), "mini", *(f"-{name}={value}" for name, value in options.items())]


def _object_store_env(project: Project) -> Mapping[str, str]:
    return {**client_env(project), "GOMEMLIMIT": "256MiB"}


def _object_store_healthy(project: Project, _: float) -> bool:
    """Whether the server answers, accepts our keys and has our bucket."""
    if not _listens(project.port("OBJECT_STORE_PORT")):
        return False  # boto3 costs a quarter of a second, this nothing
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=project.url("OBJECT_STORE_PORT"),
        aws_access_key_id=project.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=project.env["AWS_SECRET_ACCESS_KEY"],
        region_name=project.env["AWS_DEFAULT_REGION"],
    )
    try:
        client.head_bucket(Bucket=project.env["S3_BUCKET"])
    except (BotoCoreError, ClientError):
        return False
    return True


# --- MLflow and JupyterLab: in the project's environment -------------------------------------


def _project_python(project: Project) -> str:
    return str(environments.project_python(project.root, project.environment_manager))


def _environment_stamp(project: Project) -> Stamp:
    return environments.project_stamp(project.root, project.environment_manager)


def _environment(project: Project) -> list[str]:
    python = str(environments.airflow_python(project.root))
    return [python, "-m", "gaiaflow.environments"]


def _mlflow(project: Project) -> list[str]:
    database = _data(project) / "mlflow.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    return [
        *(_project_python(project), "-m", "gaiaflow.mlflow_server"),
        *("--port", project.env["MLFLOW_PORT"]),
        *("--backend-store-uri", f"sqlite:///{database}"),
        *("--artifacts-destination", f"s3://{project.env['S3_BUCKET']}/mlflow"),
    ]


def _mlflow_env(project: Project) -> Mapping[str, str]:
    # Its job runner would add eight processes and 1.3 GiB for features that we do not use.
    return {
        **client_env(project),
        "MLFLOW_S3_ENDPOINT_URL": project.url("OBJECT_STORE_PORT"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _jupyter(project: Project) -> list[str]:
    command = [
        *(_project_python(project), "-m", "jupyterlab", "--no-browser"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={project.env['JUPYTER_PORT']}"),
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={project.root}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
    ]
    return [*command, "--allow-root"] if os.geteuid() == 0 else command


def _jupyter_env(project: Project) -> Mapping[str, str]:
    # The token travels in the environment: a command line can be read by every user.
    return {**client_env(project), "JUPYTER_TOKEN": project.env["JUPYTER_TOKEN"]}


# --- Airflow: in its own environment ---------------------------------------------------------


def _airflow(*arguments: str) -> Callable[[Project], list[str]]:
    def command(project: Project) -> list[str]:
        return [str(environments.airflow_python(project.root)), "-m", "airflow", *arguments]

    return command


def _api_server(project: Project) -> list[str]:
    env = project.env
    passwords = json.dumps({env["AIRFLOW_USER"]: env["AIRFLOW_PASSWORD"]})
    envfile.write(_passwords_file(project), passwords)
    port = env["AIRFLOW_PORT"]
    return _airflow("api-server", "--host", "127.0.0.1", "--port", port, "--workers", "1")(project)


def _passwords_file(project: Project) -> Path:
    home = project.state / "airflow-home"
    home.mkdir(parents=True, exist_ok=True)
    return home / "passwords.json"


def airflow_env(project: Project) -> Mapping[str, str]:
    """The configuration of Airflow's components, as its environment variables."""
    env = project.env
    options = {
        "CORE__DAGS_FOLDER": project.root / "dags",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": 4,
        "CORE__FERNET_KEY": env["AIRFLOW_FERNET_KEY"],
        "CORE__EXECUTION_API_SERVER_URL": project.url("AIRFLOW_PORT") + "/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{env['AIRFLOW_USER']}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": _passwords_file(project),
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_data(project) / 'airflow.db'}",
        "LOGGING__BASE_LOG_FOLDER": project.state / "logs" / "tasks",
        "API__HOST": "127.0.0.1",
        "API__BASE_URL": project.url("AIRFLOW_PORT"),
        "API__WORKERS": 1,
        "API__SECRET_KEY": env["AIRFLOW_SECRET_KEY"],
        "API_AUTH__JWT_SECRET": env["AIRFLOW_JWT_SECRET"],
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.5,
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 30,
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 60,
        "DAG_PROCESSOR__REFRESH_INTERVAL": 10,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 10,
        # Without it a finished task keeps its worker for 5 seconds.
        "WORKERS__MIN_HEARTBEAT_INTERVAL": 1,
        "WORKERS__EXECUTION_API_TIMEOUT": 30,
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    return {
        **client_env(project),
        "GAIAFLOW_MODE": env["GAIAFLOW_MODE"],
        "AIRFLOW_HOME": str(_passwords_file(project).parent),
        "PYTHONPATH": str(project.root),
        **{f"AIRFLOW__{name}": str(value) for name, value in options.items()},
    }


def _airflow_init(project: Project) -> list[str]:
    _data(project).mkdir(parents=True, exist_ok=True)
    return _airflow("db", "migrate")(project)


def _airflow_init_stamp(project: Project) -> Stamp:
    # A new lock may be a new Airflow. To ask Airflow itself would cost 4 s at every start.
    database = _data(project) / "airflow.db"
    return Stamp(database.with_suffix(".stamp"), database, [environments.AIRFLOW_LOCK])


def _component_healthy(component: str) -> Callable[[Project, float], bool]:
    def healthy(project: Project, started: float) -> bool:
        answer = _answer(project.url("AIRFLOW_PORT") + "/api/v2/monitor/health")
        health = json.loads(answer or "{}")
        beat = health.get(component, {}).get(f"latest_{component}_heartbeat")
        if not beat:
            return False
        moment = datetime.datetime.fromisoformat(beat.replace("Z", "+00:00"))
        recent = datetime.datetime.now(datetime.timezone.utc) - moment < _HEARTBEAT_LIMIT
        return recent and moment.timestamp() > started

    return healthy


def _answers(port: str, path: str) -> Callable[[Project, float], bool]:
    def healthy(project: Project, _: float) -> bool:
        return _answer(project.url(port) + path) is not None

    return healthy


def _answer(url: str) -> bytes | None:
    """What a server of ours says to a question, if it answers with success."""
    try:
        with _opener.open(url, timeout=3) as answer:
            return bytes(answer.read())
    except (OSError, http.client.HTTPException):
        return None


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# No proxy between us and ourselves.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _uses_triggers(project: Project) -> bool:
    """Whether some DAG file looks as if it defers: then it needs the triggerer (160 MiB)."""
    signs = re.compile(r"deferrable\s*=\s*True|\.defer\(|Trigger\(|Async\w*\(")
    files = (project.root / "dags").rglob("*.py")
    return any(signs.search(file.read_text(encoding="utf-8", errors="ignore")) for file in files)


def _data(project: Project) -> Path:
    return project.state / "data"


def _airflow_login(project: Project) -> str:
    return f"user {project.env['AIRFLOW_USER']}, password {project.env['AIRFLOW_PASSWORD']}"


SERVICES: tuple[Service, ...] = (
    Service(
        "environment",
        "the project's environment",
        command=_environment,
        stamp=_environment_stamp,
    ),
    Service(
        "airflow-init",
        "Airflow's database",
        command=_airflow_init,
        env=airflow_env,
        stamp=_airflow_init_stamp,
    ),
    Service(
        "airflow-api-server",
        "Airflow",
        command=_api_server,
        env=airflow_env,
        needs=("airflow-init",),
        # To ask this page builds the API that tasks talk to; else the first task would wait for it.
        healthy=_answers("AIRFLOW_PORT", "/execution/health"),
        port="AIRFLOW_PORT",
        login=_airflow_login,
    ),
    Service(
        "airflow-scheduler",
        "Airflow's scheduler, runs the tasks",
        # Its log server would listen on all interfaces, and all logs are on this machine.
        command=_airflow("scheduler", "--skip-serve-logs"),
        env=airflow_env,
        needs=("airflow-init",),
        healthy=_component_healthy("scheduler"),
    ),
    Service(
        "airflow-dag-processor",
        "Airflow's DAG processor, reads dags/",
        command=_airflow("dag-processor"),
        env=airflow_env,
        needs=("airflow-init",),
        healthy=_component_healthy("dag_processor"),
    ),
    Service(
        "airflow-triggerer",
        "Airflow's triggerer, waits for tasks that defer",
        command=_airflow("triggerer", "--skip-serve-logs"),
        env=airflow_env,
        needs=("airflow-init",),
        healthy=_component_healthy("triggerer"),
        wanted=_uses_triggers,
    ),
    Service(
        "mlflow",
        "MLflow",
        command=_mlflow,
        env=_mlflow_env,
        needs=("environment",),
        healthy=_answers("MLFLOW_PORT", "/health"),
        port="MLFLOW_PORT",
    ),
    Service(
        "object-store",
        "S3 object store (SeaweedFS)",
        command=_object_store,
        env=_object_store_env,
        healthy=_object_store_healthy,
        port="OBJECT_STORE_PORT",
        login=lambda project: "the AWS_ keys in .env",
    ),
    Service(
        "jupyterlab",
        "JupyterLab",
        command=_jupyter,
        env=_jupyter_env,
        needs=("environment",),
        healthy=_answers("JUPYTER_PORT", "/api"),
        port="JUPYTER_PORT",
        path="/lab",
        login=lambda project: f"token {project.env['JUPYTER_TOKEN']}",
    ),
)


def ports(project: Project, names: Iterable[str]) -> list[int]:
    """All ports on which these services listen."""
    found: list[int] = []
    for service in SERVICES:
        if service.name in names and service.port:
            many = service.name == "object-store"
            found += _object_store_ports(project) if many else [project.port(service.port)]
    return found


def select(wanted: Iterable[str]) -> list[Service]:
    """Services by name; "airflow" stands for all of its components, no name for all services.

    Raises:
        LookupError: there is no such service; the message has the nearest names.
    """
    wanted = list(wanted)
    names = [service.name for service in SERVICES if not service.once]
    for name in wanted:
        if name not in {*names, "airflow"}:
            near = difflib.get_close_matches(name, ["airflow", *names], n=3, cutoff=0.4)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            known = ", ".join(["airflow", *names])
            raise LookupError(f"There is no service {name!r}.{hint}\nServices: {known}")
    return [
        service
        for service in SERVICES
        if not service.once
        and (not wanted or service.name in wanted or service.name.split("-")[0] in wanted)
    ]
