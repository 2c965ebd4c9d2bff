"""Filter the variables that services and tasks inherit from the user's shell.

A shell may carry other projects' settings: another Airflow's configuration, another AWS account, a
`UV_FROZEN` for CI. For each program, TABLE decides which of them pass. The managers remove the rest
when they start, before they run anything. `doctor` lists what was left out, and
docs/reference/environment-variables.md shows the table.

Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gaiaflow.project import variables


@dataclass(frozen=True)
class Row:
    """The variables that one program reads. A name may end with `*`.

    `kept` are exceptions to `left_out`. Variables that no row mentions pass.
    """

    program: str
    left_out: tuple[str, ...]
    kept: tuple[str, ...]
    why: str


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TABLE: tuple[Row, ...] = (
    Row(
        "Airflow",
        _names("AIRFLOW_* _AIRFLOW_* PYTHON_OPERATORS_VIRTUAL_ENV_MODE"),
        _names("AIRFLOW_CONN_* AIRFLOW_VAR_*"),
        "Each project has its own configuration. Connections and variables are for DAGs.",
    ),
    Row(
        "MLflow",
        _names("MLFLOW_* _MLFLOW_* DATABRICKS_RUNTIME_VERSION"),
        _names("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING MLFLOW_LOGGING_LEVEL MLFLOW_SYSTEM_METRICS_*"),
        "The project sets its own server, registry, experiment and run.",
    ),
    Row(
        "boto3 and other S3 clients",
        _names("AWS_* BOTO_*"),
        _names("AWS_CA_BUNDLE AWS_SHARED_CREDENTIALS_FILE"),
        "Keys, endpoint and region must be those of the project's object store. Code can use a "
        "profile from the credentials file.",
    ),
    Row(
        "GDAL",
        _names("GDAL_* OGR_* OSR_* CPL_* GTIFF_* VSI_* VSIS3_* *_OVERVIEW"),
        _names(
            "CPL_CURL_* CPL_DEBUG CPL_TMPDIR CPL_VSIL_CURL_* GDAL_CACHEMAX GDAL_HTTP_* "
            "GDAL_NUM_THREADS VSI_CACHE*"
        ),
        "Another GDAL's data files, drivers and options change what is read and written. Settings "
        "for servers, memory and threads pass.",
    ),
    Row(
        "PROJ",
        _names("PROJ_*"),
        _names("PROJ_CURL_CA_BUNDLE PROJ_DEBUG"),
        "Another PROJ's database is incompatible; its network setting changes coordinates.",
    ),
    Row(
        "Python",
        _names("PYTHON* VIRTUAL_ENV __PYVENV_LAUNCHER__"),
        _names("PYTHON_CPU_COUNT PYTHON_KEYRING_BACKEND"),
        "Paths, start-up files and options for another interpreter, such as PYTHONWARNINGS=error.",
    ),
    Row(
        "JupyterLab and IPython",
        _names("IPYTHON* JPY_* JUPYTER*"),
        (),
        "Configuration, kernels and extensions come from the project's environment. In a "
        "JupyterHub, these variables describe the server around the project.",
    ),
    Row(
        "uv",
        _names("UV_*"),
        _names(
            "UV_CACHE_DIR UV_CONCURRENT_* UV_CONFIG_FILE UV_CREDENTIALS_DIR UV_DEFAULT_INDEX "
            "UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_HTTP_* UV_INDEX UV_INDEX_* UV_INSECURE_HOST "
            "UV_KEYRING_PROVIDER UV_LINK_MODE UV_LOCK_TIMEOUT UV_NATIVE_TLS UV_NO_CACHE "
            "UV_NO_PROGRESS UV_OFFLINE UV_PYTHON_BIN_DIR UV_PYTHON_CACHE_DIR UV_PYTHON_DOWNLOADS* "
            "UV_PYTHON_INSTALL_* UV_PYPY_INSTALL_MIRROR UV_REQUEST_TIMEOUT UV_SYSTEM_CERTS"
        ),
        "The lock files decide what is installed. Mirrors and their credentials pass.",
    ),
    Row(
        "pip",
        _names("PIP_*"),
        _names(
            "PIP_CACHE_DIR PIP_CERT PIP_CLIENT_CERT PIP_CONFIG_FILE PIP_DEFAULT_TIMEOUT "
            "PIP_DISABLE_PIP_VERSION_CHECK PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_INDEX_URL "
            "PIP_KEYRING_PROVIDER PIP_NO_INDEX PIP_PROXY PIP_RETRIES PIP_TIMEOUT PIP_TRUSTED_HOST"
        ),
        "As for uv.",
    ),
    Row(
        "pixi",
        _names("PIXI_*"),
        _names("PIXI_CACHE_DIR PIXI_HOME"),
        "As for uv; in a `pixi shell`, they describe another project.",
    ),
    Row(
        "git",
        _names(
            "GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_COMMON_DIR GIT_CONFIG GIT_DIFF_OPTS GIT_DIR "
            "GIT_EXTERNAL_DIFF GIT_GLOB_PATHSPECS GIT_GRAFT_FILE GIT_ICASE_PATHSPECS "
            "GIT_IMPLICIT_WORK_TREE GIT_INDEX_FILE GIT_LITERAL_PATHSPECS GIT_NAMESPACE "
            "GIT_NOGLOB_PATHSPECS GIT_OBJECT_DIRECTORY GIT_PREFIX GIT_QUARANTINE_PATH "
            "GIT_REPLACE_REF_BASE GIT_SHALLOW_FILE GIT_WORK_TREE"
        ),
        (),
        "In a git hook, they describe another repository. Your identity and connection settings "
        "pass.",
    ),
    Row(
        "Web servers",
        _names("FLASK_* FORWARDED_ALLOW_IPS GUNICORN_CMD_ARGS UVICORN_* WEB_CONCURRENCY"),
        (),
        "They change how the servers of Airflow and MLflow run, and whom they trust.",
    ),
    Row(
        "SeaweedFS",
        _names("WEED_* GODEBUG GOGC"),
        (),
        "They override the options of the object store.",
    ),
    Row(
        "Docker Compose",
        _names("COMPOSE_* DOCKER_BUILDKIT"),
        (),
        "Files, profiles and names of another stack. The choice of the Docker engine passes.",
    ),
    Row(
        "Matplotlib",
        _names("MATPLOTLIBRC MPLBACKEND"),
        (),
        "Tasks draw without a display.",
    ),
)

# The programs whose variables point to data, runs and models.
CLIENTS = ("boto3 and other S3 clients", "MLflow")

# For all services and tasks: use UTF-8 whatever the locale, and ignore the user's site packages,
# which a conda environment would see.
PYTHON = {"PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1"}


def left_out(names: Iterable[str], programs: Iterable[str] = ()) -> list[str]:
    """Which of these variables do not pass, by the rows of all programs or some."""
    chosen = set(programs)
    rows = [row for row in TABLE if not chosen or row.program in chosen]
    return sorted(name for name in names if any(_is_left_out(name, row) for row in rows))


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Remove variables that must not pass, and record their names in a variable."""
    gone = set(left_out(environ))
    kept = {name: value for name, value in environ.items() if name not in gone}
    if gone:
        kept[variables.LEFT_OUT] = " ".join(noticed(environ))
    return kept


def noticed(environ: Mapping[str, str]) -> list[str]:
    """All variables that are left out, or were when this environment was created."""
    return sorted({*left_out(environ), *_recorded(environ)})


def without_socks(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that hide SOCKS proxies from services: httpx fails even where it bypasses them.

    `task_proxies` restores them for tasks.
    """
    socks = {
        name: value
        for name, value in environ.items()
        if name.lower() in {"all_proxy", "http_proxy", "https_proxy"}
        and value.lower().startswith("socks")
    }
    return {**dict.fromkeys(socks, ""), variables.TASK_PROXIES: json.dumps(socks)} if socks else {}


def task_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """The proxies that `without_socks` hid from a service, for its tasks."""
    proxies: dict[str, str] = json.loads(environ.get(variables.TASK_PROXIES) or "{}")
    return proxies


def _recorded(environ: Mapping[str, str]) -> list[str]:
    return environ.get(variables.LEFT_OUT, "").split()


def _is_left_out(name: str, row: Row) -> bool:
    return _matches(name, row.left_out) and not _matches(name, row.kept)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(_match(name, pattern) for pattern in patterns)


def _match(name: str, pattern: str) -> bool:
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
