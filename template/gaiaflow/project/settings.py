"""The settings of a project on one machine, in `.env`: their defaults, secrets and limits.

Standard library only: Copier's tasks write them for new projects.
"""

from __future__ import annotations

import base64
import getpass
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gaiaflow.project import variables
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import Identity


def _token(_: Identity) -> str:
    return secrets.token_hex(32)


def _password(_: Identity) -> str:
    return secrets.token_urlsafe(12).replace("-", "x").replace("_", "y")


def _fernet_key(_: Identity) -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def compose_name(package: str) -> str:
    """A unique name for a project's containers and volumes."""
    return f"{package.strip('_').replace('_', '-')}-{secrets.token_hex(3)}"


def _user_name(_: Identity) -> str:
    """The user name that MLflow shows; in a container, the user may have none."""
    try:
        return re.sub(r"[^A-Za-z0-9._-]", "-", getpass.getuser()) or "user"
    except (ImportError, KeyError, OSError):
        return "user"


def _user_id(_: Identity) -> str:
    return str(os.getuid() or 50000)  # containers never run as root


@dataclass(frozen=True)
class Setting:
    """One line of `.env`: a fixed default, or a value generated on the user's machine."""

    name: str
    about: str
    default: str = ""
    make: Callable[[Identity], str] | None = None
    # It may be empty or missing.
    optional: bool = False
    # Docker Compose reads only .env: repeat there what it needs from pyproject.toml.
    repeats: bool = False

    def value(self, identity: Identity) -> str:
        """The value in a new project; secrets differ at each call."""
        if self.repeats:
            return str(getattr(identity, self.name.lower()))
        return self.make(identity) if self.make else self.default


SETTINGS: tuple[Setting, ...] = (
    Setting(
        variables.MODE,
        "Where tasks run. dev: processes; dev_docker: containers; prod_local: pods in Minikube; "
        "prod: pods in the cluster where Airflow runs.",
        "dev",
    ),
    Setting(
        variables.BACKEND,
        "What services run as. local: processes; compose: containers; auto: containers if their "
        "images exist and Docker answers, else processes.",
        "auto",
    ),
    Setting("AIRFLOW_PORT", "Airflow's pages and API, http://127.0.0.1:PORT", "8080"),
    Setting("MLFLOW_PORT", "MLflow's pages and API.", "8081"),
    Setting("JUPYTER_PORT", "JupyterLab.", "8082"),
    Setting(
        "OBJECT_STORE_PORT",
        "The S3 API. Its server also uses the next 4 ports, and all 5 plus 10000.",
        "8083",
    ),
    Setting(
        "MAPS_PORT",
        "The map of products; `python3 mlops_manager.py open maps` starts it.",
        "8088",
    ),
    Setting(
        "SERVING_PORT",
        "Predictions over HTTP; `python3 mlops_manager.py start --service serving` starts them.",
        "8089",
    ),
    Setting(
        "SERVICES_PORT",
        "The first of your own services, in services/; the others use the 9 ports after it.",
        "8090",
    ),
    Setting("SERVING_MODEL", "The registered model whose champion is served.", "landcover"),
    Setting("SERVING_KEY", "What requests for predictions must bring.", make=_token),
    Setting(
        "SERVING_LOG_SHARE",
        "The share of served requests that are stored with their answers, from 0 to 1.",
        "1",
    ),
    Setting(
        "SERVING_SCENES_DAG",
        "The DAG that maps scenes sent to the server. Empty: none are accepted.",
        "landcover_batch",
        optional=True,
    ),
    Setting(
        "SERVING_SCENES_FROM",
        "What these scenes may be read from besides the bucket: addresses, separated by commas, "
        "such as https://example.com/cogs/.",
        optional=True,
    ),
    Setting(
        "PARALLEL_TASKS",
        "How many tasks of all pipelines run at the same time; limits their memory.",
        "4",
    ),
    Setting(
        variables.NOTIFY_URLS,
        "Whom to tell of failed runs, drift, new champions and questions: Apprise URLs, separated "
        "by spaces. Empty: nobody.",
        optional=True,
    ),
    Setting("AIRFLOW_USER", "Log in to Airflow.", "admin"),
    Setting("AIRFLOW_PASSWORD", "Log in to Airflow.", make=_password),
    Setting("AIRFLOW_FERNET_KEY", "Encrypts the connections stored in Airflow.", make=_fernet_key),
    Setting("AIRFLOW_SECRET_KEY", "Signs Airflow's sessions.", make=_token),
    Setting("AIRFLOW_JWT_SECRET", "Signs the tokens of Airflow's API.", make=_token),
    Setting(
        "MLFLOW_TRACKING_USERNAME",
        "Log in to MLflow; runs show it as their user.",
        make=_user_name,
    ),
    Setting("MLFLOW_TRACKING_PASSWORD", "Log in to MLflow.", make=_password),
    Setting("JUPYTER_TOKEN", "Log in to JupyterLab.", make=_password),
    Setting(
        "AWS_ACCESS_KEY_ID", "The object store's access key.", make=lambda _: secrets.token_hex(10)
    ),
    Setting("AWS_SECRET_ACCESS_KEY", "The object store's secret key.", make=_token),
    Setting("AWS_DEFAULT_REGION", "S3 clients require one; our store has no regions.", "us-east-1"),
    Setting("S3_BUCKET", "The bucket for scenes, features, models and maps.", "gaiaflow"),
    Setting("POSTGRES_PASSWORD", "Containers only: the database server's owner.", make=_token),
    Setting("AIRFLOW_DATABASE_PASSWORD", "Containers only: Airflow's database.", make=_token),
    Setting("MLFLOW_DATABASE_PASSWORD", "Containers only: MLflow's database.", make=_token),
    Setting(
        "COMPOSE_PROJECT_NAME",
        "Containers only: the prefix of their names, and of the volumes that hold your data.",
        make=lambda identity: compose_name(identity.package),
    ),
    Setting(
        "CONTAINER_UID", "Containers only: the user who owns the files they write.", make=_user_id
    ),
    Setting("PACKAGE", "From pyproject.toml, for Docker Compose.", repeats=True),
    Setting("ENVIRONMENT_MANAGER", "From pyproject.toml, for Docker Compose.", repeats=True),
    Setting("OBJECT_STORE", "From pyproject.toml, for Docker Compose.", repeats=True),
)

MODES = ("dev", "dev_docker", "prod_local", "prod")
BACKENDS = ("auto", "local", "compose")

PORTS = (
    *("AIRFLOW_PORT", "MLFLOW_PORT", "JUPYTER_PORT", "MAPS_PORT", "SERVING_PORT"),
    *("OBJECT_STORE_PORT", "SERVICES_PORT"),
)

OBJECT_STORE_PORTS = 5  # S3, and four internal ones in a row
OWN_PORTS = 10  # of the project's own services
_BLOCKS = {"OBJECT_STORE_PORT": OBJECT_STORE_PORTS, "SERVICES_PORT": OWN_PORTS}

_URL = re.compile(r"[A-Za-z][A-Za-z0-9]*://\S+")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")

# The object store also uses its ports plus 10000, which must not exceed 65535.
PORT_RANGE = range(1024, 55532)


def env_text(identity: Identity | None = None) -> str:
    """The text of `.env` with new secrets or, without an identity, of `.env.example`."""
    lines = [
        "# Settings and passwords of this project on this machine. Keep this file out of git.",
        "# Created by Gaiaflow. After editing it, run `python3 mlops_manager.py restart`.",
    ]
    for setting in SETTINGS:
        value = setting.value(identity) if identity else setting.default
        lines += ["", f"# {setting.about}", f"{setting.name}={value}"]
    return "\n".join(lines) + "\n"


def repeated(identity: Identity) -> dict[str, str]:
    """The settings that repeat values from pyproject.toml."""
    return {setting.name: setting.value(identity) for setting in SETTINGS if setting.repeats}


def ports_of(name: str, port: int) -> range:
    """All ports that the service takes whose setting has this name and value."""
    return range(port, port + _BLOCKS.get(name, 1))


def check(env: Mapping[str, str]) -> None:
    """Validate settings.

    Raises:
        GaiaflowError: one is missing or invalid; the message names it.
    """
    needed = (setting.name for setting in SETTINGS if not setting.optional)
    missing = [name for name in needed if not env.get(name)]
    if missing:
        raise GaiaflowError(
            f".env lacks {', '.join(missing)}.\n"
            "Copy the line from .env.example and give it a value, or delete .env: "
            "`python3 mlops_manager.py start` creates a new one with new passwords."
        )
    users: dict[int, str] = {}
    for name in PORTS:
        if not env[name].isascii() or not env[name].isdigit() or int(env[name]) not in PORT_RANGE:
            limits = f"{PORT_RANGE.start} to {PORT_RANGE.stop - 1}"
            raise GaiaflowError(f".env: {name} must be a whole number from {limits}.")
        for taken in ports_of(name, int(env[name])):
            if taken in users:
                raise GaiaflowError(f".env: {users[taken]} and {name} both take port {taken}.")
            users[taken] = name
    for name, choices in {variables.MODE: MODES, variables.BACKEND: BACKENDS}.items():
        if env[name] not in choices:
            raise GaiaflowError(f".env: {name} must be one of: {', '.join(choices)}.")
    if not re.fullmatch(r"[1-9][0-9]{0,2}", env["PARALLEL_TASKS"]):
        raise GaiaflowError(".env: PARALLEL_TASKS must be a whole number from 1 to 999.")
    if not re.fullmatch(r"0|1|0?\.[0-9]+|[01]\.0+", env["SERVING_LOG_SHARE"]):
        raise GaiaflowError(".env: SERVING_LOG_SHARE must be a number from 0 to 1, such as 0.1.")
    notify_urls(env.get(variables.NOTIFY_URLS, ""))
    if not _BUCKET.fullmatch(env["S3_BUCKET"]):
        raise GaiaflowError(
            ".env: S3_BUCKET must be 3 to 63 lower-case letters, digits and hyphens."
        )


def notify_urls(text: str) -> list[str]:
    """The URLs in NOTIFY_URLS, separated by spaces or commas.

    Raises:
        GaiaflowError: one is not a URL; the message has its place, since it may contain a password.
    """
    urls = re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9]*://)|\s+", text.strip()) if text.strip() else []
    for number, url in enumerate(urls, 1):
        if not _URL.fullmatch(url):
            raise GaiaflowError(
                f".env: NOTIFY_URLS: number {number} is not a URL such as ntfys://ntfy.sh/my-topic.\n"
                "Every service's URLs: https://appriseit.com/services/"
            )
    return urls
