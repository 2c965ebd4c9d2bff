"""What this project is (pyproject.toml, `[tool.gaiaflow]`) and how it is set up here (`.env`).

Standard library only: a generation task, a notebook and every task process read it.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gaiaflow import envfile
from gaiaflow.errors import GaiaflowError


def _token() -> str:
    return secrets.token_hex(32)


def _password() -> str:
    return secrets.token_urlsafe(12).replace("-", "x").replace("_", "y")


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True)
class Setting:
    """One line of `.env`: a fixed default, or a secret that is made on the user's machine."""

    name: str
    about: str
    default: str = ""
    make: Callable[[], str] | None = None


SETTINGS: tuple[Setting, ...] = (
    Setting("GAIAFLOW_MODE", "Where tasks run: dev (processes), dev_docker, prod_local (Minikube) or prod.", "dev"),
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
    Setting("JUPYTER_TOKEN", "Log in to JupyterLab.", make=_password),
    Setting("AWS_ACCESS_KEY_ID", "The object store's access key.", make=lambda: _token()[:20]),
    Setting("AWS_SECRET_ACCESS_KEY", "The object store's secret key.", make=_token),
    Setting("AWS_DEFAULT_REGION", "Any S3 client wants one; ours has no regions.", "us-east-1"),
    Setting("S3_BUCKET", "The bucket for scenes, features, models and maps.", "gaiaflow"),
)

MODES = ("dev", "dev_docker", "prod_local", "prod")

PORTS = ("AIRFLOW_PORT", "MLFLOW_PORT", "JUPYTER_PORT", "OBJECT_STORE_PORT")

OBJECT_STORE_PORTS = 5  # S3 and four of its own, one after another

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")

# A port of the object store is also used 10000 higher; none may pass 65535.
PORT_RANGE = range(1024, 55532)


def env_text(make_secrets: bool) -> str:
    """The text of `.env` (with fresh secrets) or of `.env.example` (without)."""
    lines = [
        "# Settings and passwords of this project on this machine. Not in git: keep it so.",
        "# Made by Gaiaflow; edit it, then run `python3 mlops_manager.py restart`.",
    ]
    for setting in SETTINGS:
        value = setting.make() if setting.make and make_secrets else setting.default
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
    identity = _identity(root / "pyproject.toml")
    env_file = root / ".env"
    if not env_file.exists():  # a fresh clone: secrets never travel through git
        envfile.write(env_file, env_text(make_secrets=True))
    env = envfile.read(env_file)
    _check(env)
    return Project(
        root=root,
        package=identity["package"],
        environment_manager=identity["environment_manager"],
        object_store=identity["object_store"],
        env=env,
    )


def client_env(project: Project) -> dict[str, str]:
    """The environment variables by which boto3 and MLflow find this project's servers."""
    return {
        "AWS_ENDPOINT_URL": project.url("OBJECT_STORE_PORT"),
        "AWS_ACCESS_KEY_ID": project.env["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": project.env["AWS_SECRET_ACCESS_KEY"],
        "AWS_DEFAULT_REGION": project.env["AWS_DEFAULT_REGION"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "S3_BUCKET": project.env["S3_BUCKET"],
        "MLFLOW_TRACKING_URI": project.url("MLFLOW_PORT"),
        "MLFLOW_EXPERIMENT_NAME": project.package,
        # Artifacts go through the MLflow server: a client need not reach its object store.
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # It would run uv at each logged model; a model names its requirements itself.
        "MLFLOW_UV_AUTO_DETECT": "false",
        **_no_proxy(),
    }


def _no_proxy() -> dict[str, str]:
    """Around a proxy, should this machine have one, go our servers too."""
    theirs = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = dict.fromkeys([*filter(None, theirs.split(",")), "127.0.0.1", "localhost"])
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(hosts))


def own_variables(project: Project, secrets: Sequence[str]) -> dict[str, str]:
    """What the user has added to `.env`: it stands for Kubernetes secrets where there are none.

    Raises:
        GaiaflowError: nothing was added, so the task would miss what it asks for.
    """
    ours = {setting.name for setting in SETTINGS}
    own = {
        name: value
        for name, value in project.env.items()
        if name not in ours and not name.startswith("GAIAFLOW_")
    }
    if not own:
        raise GaiaflowError(
            f"The task wants the secrets {', '.join(secrets)}, and .env has no variable of yours.\n"
            "Add what the function needs to .env, as NAME=value."
        )
    return own


# What a shell may have set for another account; it would win over our keys.
FOREIGN_AWS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE")


def connect(root: Path | None = None) -> None:
    """Point boto3 and MLflow at this project's servers, from a notebook or a script.

    Does nothing inside a task, where the variables are set already.
    """
    if os.environ.get("GAIAFLOW_TASK"):
        return
    os.environ.update(client_env(load(root or find_root())))
    for name in FOREIGN_AWS:
        os.environ.pop(name, None)


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


def _identity(path: Path) -> dict[str, str]:
    table = read_toml(path).get("tool", {}).get("gaiaflow", {})
    wanted = ("package", "environment_manager", "object_store")
    missing = [name for name in wanted if name not in table]
    if missing:
        raise GaiaflowError(
            f"pyproject.toml lacks {', '.join(missing)} in [tool.gaiaflow]: "
            "`git diff pyproject.toml` shows what was changed."
        )
    return {name: str(value) for name, value in table.items()}


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
    if env["GAIAFLOW_MODE"] not in MODES:
        raise GaiaflowError(f".env: GAIAFLOW_MODE can be: {', '.join(MODES)}.")
    if not _BUCKET.fullmatch(env["S3_BUCKET"]):
        raise GaiaflowError(
            ".env: S3_BUCKET must be 3 to 63 lower-case letters, digits and hyphens, as S3 has it."
        )
