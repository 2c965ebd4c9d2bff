"""What this project is (pyproject.toml, `[tool.gaiaflow]`) and how it is set up here (`.env`).

Standard library only: a generation task, a notebook and every task process read it.
"""

from __future__ import annotations

import base64
import getpass
import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from gaiaflow import endpoints, envfile, inherited
from gaiaflow.errors import GaiaflowError


@dataclass(frozen=True)
class Identity:
    """What a project is, wherever it lies: `[tool.gaiaflow]` in pyproject.toml."""

    package: str
    environment_manager: str
    object_store: str


def _token(_: Identity) -> str:
    return secrets.token_hex(32)


def _key_id(_: Identity) -> str:
    return secrets.token_hex(10)


def _password(_: Identity) -> str:
    return secrets.token_urlsafe(12).replace("-", "x").replace("_", "y")


def _fernet_key(_: Identity) -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def compose_name(package: str) -> str:
    """A name for a project's containers and volumes that no other project has."""
    return f"{package.strip('_').replace('_', '-')}-{secrets.token_hex(3)}"


def _user_name(_: Identity) -> str:
    """Who runs things here, as MLflow shows it; a container's user may have no name."""
    try:
        return re.sub(r"[^A-Za-z0-9._-]", "-", getpass.getuser()) or "user"
    except (ImportError, KeyError, OSError):
        return "user"


def _user_id(_: Identity) -> str:
    return str(os.getuid() or 50000)  # containers never run as root


@dataclass(frozen=True)
class Setting:
    """One line of `.env`: a fixed default, or a value that is made on the user's machine."""

    name: str
    about: str
    default: str = ""
    make: Callable[[Identity], str] | None = None
    # Docker Compose reads .env only, so what it must know of pyproject.toml is repeated there.
    repeats: bool = False

    def value(self, identity: Identity) -> str:
        """What it is in a new project; a secret is another one at each call."""
        if self.repeats:
            return str(getattr(identity, self.name.lower()))
        return self.make(identity) if self.make else self.default


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "GAIAFLOW_MODE",
        "Where tasks run. dev: processes; dev_docker: containers; prod_local: pods in Minikube; "
        "prod: pods in the cluster where Airflow runs.",
        "dev",
    ),
    Setting(
        "GAIAFLOW_BACKEND",
        "What services run as. local: processes; compose: containers; auto: containers if their "
        "images are there and Docker answers, else processes.",
        "auto",
    ),
    Setting("AIRFLOW_PORT", "Airflow's pages and API, http://127.0.0.1:PORT", "8080"),
    Setting("MLFLOW_PORT", "MLflow's pages and API.", "8081"),
    Setting("JUPYTER_PORT", "JupyterLab.", "8082"),
    Setting(
        "OBJECT_STORE_PORT",
        "The S3 API. Its server also takes the next 4 ports, and all 5 plus 10000.",
        "8083",
    ),
    Setting("AIRFLOW_USER", "Log in to Airflow.", "admin"),
    Setting("AIRFLOW_PASSWORD", "Log in to Airflow.", make=_password),
    Setting("AIRFLOW_FERNET_KEY", "Encrypts the connections kept in Airflow.", make=_fernet_key),
    Setting("AIRFLOW_SECRET_KEY", "Signs Airflow's sessions.", make=_token),
    Setting("AIRFLOW_JWT_SECRET", "Signs the tokens of Airflow's API.", make=_token),
    Setting(
        "MLFLOW_TRACKING_USERNAME",
        "Log in to MLflow; its runs show it as their user.",
        make=_user_name,
    ),
    Setting("MLFLOW_TRACKING_PASSWORD", "Log in to MLflow.", make=_password),
    Setting("JUPYTER_TOKEN", "Log in to JupyterLab.", make=_password),
    Setting(
        "AWS_ACCESS_KEY_ID", "The object store's access key.", make=lambda _: secrets.token_hex(10)
    ),
    Setting("AWS_SECRET_ACCESS_KEY", "The object store's secret key.", make=_token),
    Setting("AWS_DEFAULT_REGION", "Any S3 client wants one; ours has no regions.", "us-east-1"),
    Setting("S3_BUCKET", "The bucket for scenes, features, models and maps.", "gaiaflow"),
    Setting("POSTGRES_PASSWORD", "Containers only: the database server's owner.", make=_token),
    Setting("AIRFLOW_DATABASE_PASSWORD", "Containers only: Airflow's database.", make=_token),
    Setting("MLFLOW_DATABASE_PASSWORD", "Containers only: MLflow's database.", make=_token),
    Setting(
        "COMPOSE_PROJECT_NAME",
        "Containers only: begins the name of each, and of the volumes that hold your data.",
        make=lambda identity: compose_name(identity.package),
    ),
    Setting(
        "CONTAINER_UID", "Containers only: the user whose files they write: you.", make=_user_id
    ),
    Setting("PACKAGE", "From pyproject.toml, for Docker Compose.", repeats=True),
    Setting("ENVIRONMENT_MANAGER", "From pyproject.toml, for Docker Compose.", repeats=True),
    Setting("OBJECT_STORE", "From pyproject.toml, for Docker Compose.", repeats=True),
)

MODES = ("dev", "dev_docker", "prod_local", "prod")
BACKENDS = ("auto", "local", "compose")

PORTS = ("AIRFLOW_PORT", "MLFLOW_PORT", "JUPYTER_PORT", "OBJECT_STORE_PORT")

OBJECT_STORE_PORTS = 5  # S3 and four of its own, one after another

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")

# A port of the object store is also used 10000 higher; none may pass 65535.
PORT_RANGE = range(1024, 55532)


def env_text(identity: Identity | None = None) -> str:
    """The text of a project's `.env`, with fresh secrets; without a project, of `.env.example`."""
    lines = [
        "# Settings and passwords of this project on this machine. Not in git: keep it so.",
        "# Made by Gaiaflow; edit it, then run `python3 mlops_manager.py restart`.",
    ]
    for setting in SETTINGS:
        value = setting.value(identity) if identity else setting.default
        lines += ["", f"# {setting.about}", f"{setting.name}={value}"]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Project:
    """A generated project on this machine."""

    root: Path
    package: str
    environment_manager: str
    object_store: str
    env: Mapping[str, str]

    @property
    def state(self) -> Path:
        """Everything that programs make for this project: environments, databases, logs."""
        return self.root / ".gaiaflow"

    @property
    def source(self) -> str:
        """What an image gets of the project's code: the package's folder, or `src` around it."""
        in_src = (self.root / "src" / self.package).is_dir()
        return "src" if in_src and not (self.root / self.package).is_dir() else self.package

    def port(self, name: str) -> int:
        return int(self.env[name])

    def url(self, port_name: str) -> str:
        return f"http://127.0.0.1:{self.env[port_name]}"

    def replaced(self, changes: Mapping[str, str]) -> Project:
        """The same project with other settings, which are stored nowhere."""
        return replace(self, env={**self.env, **changes})

    def with_env(self, changes: Mapping[str, str]) -> Project:
        """Store changed settings in `.env` and return the project that has them."""
        envfile.update(self.root / ".env", changes)
        return self.replaced(changes)


def find_root(start: Path | None = None) -> Path:
    """The project that a path lies in: the nearest folder with a `mlops_manager.py`.

    Raises:
        GaiaflowError: there is none.
    """
    start = (start or Path(__file__)).resolve()
    for folder in (start, *start.parents):
        if (folder / "mlops_manager.py").is_file():
            return folder
    raise GaiaflowError(f"{start} is not in a Gaiaflow project: no mlops_manager.py above it.")


def load(root: Path) -> Project:
    """Read a project's identity and settings; make `.env` first if there is none.

    Raises:
        GaiaflowError: pyproject.toml or .env is missing something or cannot be read; the message
            names the file, the line or the setting.
    """
    identity = read_identity(root)
    env_file = root / ".env"
    if not env_file.exists():  # a fresh clone: secrets never travel through git
        envfile.write(env_file, env_text(identity))
    env = envfile.read(env_file)
    _check(env)
    project = Project(root=root, env=env, **asdict(identity))
    names = [setting.name for setting in SETTINGS if setting.repeats]
    stale = {name: getattr(identity, name.lower()) for name in names}
    return project if stale.items() <= env.items() else project.with_env(stale)


def client_env(project: Project) -> dict[str, str]:
    """The environment variables by which boto3, GDAL and MLflow find this project's servers."""
    return {
        "AWS_ENDPOINT_URL": project.url("OBJECT_STORE_PORT"),
        **endpoints.gdal_env(project.url("OBJECT_STORE_PORT")),
        "AWS_ACCESS_KEY_ID": project.env["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": project.env["AWS_SECRET_ACCESS_KEY"],
        "AWS_DEFAULT_REGION": project.env["AWS_DEFAULT_REGION"],
        "AWS_EC2_METADATA_DISABLED": "true",
        # Not ~/.aws/config, whose defaults are for another account.
        "AWS_CONFIG_FILE": os.devnull,
        "S3_BUCKET": project.env["S3_BUCKET"],
        "MLFLOW_TRACKING_URI": project.url("MLFLOW_PORT"),
        **{name: project.env[name] for name in endpoints.MLFLOW_CREDENTIALS},
        "MLFLOW_EXPERIMENT_NAME": project.package,
        **endpoints.MLFLOW_CLIENT,
        **_no_proxy(),
    }


def _no_proxy() -> dict[str, str]:
    """Around a proxy, should this machine have one, go our servers too."""
    theirs = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = dict.fromkeys([*filter(None, theirs.split(",")), "127.0.0.1", "localhost"])
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(hosts))


def own_variables(project: Project) -> dict[str, str]:
    """What the user has added to `.env`: it stands for Kubernetes secrets where there are none."""
    ours = {setting.name for setting in SETTINGS}
    return {
        name: value
        for name, value in project.env.items()
        if name not in ours and not name.startswith("GAIAFLOW_")
    }


def connect(root: Path | None = None) -> None:
    """Point boto3, GDAL and MLflow at this project's servers, from a notebook or a script.

    Does nothing in a task or a container, where the variables are set already.
    """
    if os.environ.get("GAIAFLOW_TASK") or os.environ.get("GAIAFLOW_CONNECTED"):
        return
    env = client_env(load(root or find_root()))
    for name in inherited.left_out(os.environ, inherited.CLIENTS):
        del os.environ[name]  # a shell's, for another account
    os.environ.update(env)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        GaiaflowError: it is missing or not TOML; the message has the place.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # here, because the generation task has no tomli and no need for one
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GaiaflowError(f"{path} is missing: git can bring it back.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GaiaflowError(f"{path.name} cannot be read: {error}.") from None


def read_identity(root: Path) -> Identity:
    """Read what a project is.

    Raises:
        GaiaflowError: pyproject.toml cannot be read or lacks something.
    """
    tools = read_toml(root / "pyproject.toml").get("tool")
    table = tools.get("gaiaflow") if isinstance(tools, dict) else None
    table = table if isinstance(table, dict) else {}
    wanted = [field.name for field in fields(Identity)]
    missing = [name for name in wanted if name not in table]
    if missing:
        raise GaiaflowError(
            f"pyproject.toml lacks {', '.join(missing)} in [tool.gaiaflow]: "
            "`git diff pyproject.toml` shows what was changed."
        )
    return Identity(**{name: str(table[name]) for name in wanted})


def _check(env: Mapping[str, str]) -> None:
    missing = [setting.name for setting in SETTINGS if not env.get(setting.name)]
    if missing:
        raise GaiaflowError(
            f".env lacks {', '.join(missing)}.\n"
            "Copy the line from .env.example and give it a value, or delete .env: "
            "`python3 mlops_manager.py start` makes a new one with new passwords."
        )
    users: dict[int, str] = {}
    for name in PORTS:
        if not env[name].isascii() or not env[name].isdigit() or int(env[name]) not in PORT_RANGE:
            limits = f"{PORT_RANGE.start} to {PORT_RANGE.stop - 1}"
            raise GaiaflowError(f".env: {name} must be a whole number from {limits}.")
        port = int(env[name])
        for taken in range(port, port + (OBJECT_STORE_PORTS if name == "OBJECT_STORE_PORT" else 1)):
            if taken in users:
                raise GaiaflowError(f".env: {users[taken]} and {name} both take port {taken}.")
            users[taken] = name
    for name, choices in {"GAIAFLOW_MODE": MODES, "GAIAFLOW_BACKEND": BACKENDS}.items():
        if env[name] not in choices:
            raise GaiaflowError(f".env: {name} can be: {', '.join(choices)}.")
    if not _BUCKET.fullmatch(env["S3_BUCKET"]):
        raise GaiaflowError(
            ".env: S3_BUCKET must be 3 to 63 lower-case letters, digits and hyphens, as S3 has it."
        )
