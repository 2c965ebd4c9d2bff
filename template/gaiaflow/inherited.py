"""What a person's shell passes on to services and tasks, and what it must not.

A terminal carries the settings of other projects: another Airflow's configuration, another AWS
account, a `UV_FROZEN` for CI. TABLE decides for each program which of them may pass. The managers
leave the rest out as they start, so nothing that they run sees it. `doctor` names what was left
out, and docs/reference/environment-variables.md shows the table.

Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What one program reads from the environment. A name may end with `*`.

    `kept` are exceptions from `left_out`. What no row mentions passes.
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
        "Each project has a configuration of its own. Connections and variables are for DAGs.",
    ),
    Row(
        "MLflow",
        _names("MLFLOW_* _MLFLOW_* DATABRICKS_RUNTIME_VERSION"),
        _names("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING MLFLOW_LOGGING_LEVEL MLFLOW_SYSTEM_METRICS_*"),
        "Server, registry, experiment and run are the project's own.",
    ),
    Row(
        "boto3 and other S3 clients",
        _names("AWS_* BOTO_*"),
        _names("AWS_CA_BUNDLE AWS_SHARED_CREDENTIALS_FILE"),
        "Keys, endpoint and region are those of the project's object store. Code can name a "
        "profile of the credentials file.",
    ),
    Row(
        "GDAL",
        _names("GDAL_* OGR_* OSR_* CPL_* GTIFF_* VSI_* VSIS3_* *_OVERVIEW"),
        _names(
            "CPL_CURL_* CPL_DEBUG CPL_TMPDIR CPL_VSIL_CURL_* GDAL_CACHEMAX GDAL_HTTP_* "
            "GDAL_NUM_THREADS VSI_CACHE*"
        ),
        "Data files, drivers and options of another GDAL change what is read and written. Access "
        "to servers, memory and threads pass.",
    ),
    Row(
        "PROJ",
        _names("PROJ_*"),
        _names("PROJ_CURL_CA_BUNDLE PROJ_DEBUG"),
        "Another PROJ's database does not fit; its network setting changes coordinates.",
    ),
    Row(
        "Python",
        _names("PYTHON* VIRTUAL_ENV __PYVENV_LAUNCHER__"),
        _names("PYTHON_CPU_COUNT PYTHON_KEYRING_BACKEND"),
        "Paths, start-up files and switches of another interpreter, such as PYTHONWARNINGS=error.",
    ),
    Row(
        "JupyterLab and IPython",
        _names("IPYTHON* JPY_* JUPYTER*"),
        (),
        "Configuration, kernels and extensions are those of the project's environment. In a "
        "JupyterHub these variables describe the server around the project.",
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
        "What is installed, and where, follows from the lock files. Mirrors and their keys pass.",
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
        "As for uv; in a `pixi shell` they describe another project.",
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
        "In a hook of git's they describe another repository. Who you are and how you connect "
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
        "Files, profiles and names of another stack. Which Docker engine is used passes.",
    ),
    Row(
        "Matplotlib",
        _names("MATPLOTLIBRC MPLBACKEND"),
        (),
        "Tasks draw without a display.",
    ),
)

# The programs whose variables say where data, runs and models are.
CLIENTS = ("boto3 and other S3 clients", "MLflow")

# For all services and tasks: text is UTF-8 whatever the locale says, and packages that were
# installed for the user are not seen in a conda environment.
PYTHON = {"PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1"}

_RECORD = "GAIAFLOW_LEFT_OUT"  # names, for doctor: a manager runs twice, once in each environment
_PROXIES = "GAIAFLOW_TASK_PROXIES"


def left_out(names: Iterable[str], programs: Iterable[str] = ()) -> list[str]:
    """Which of these variables do not pass; asked of all programs, or of some."""
    chosen = set(programs)
    rows = [row for row in TABLE if not chosen or row.program in chosen]
    return sorted(name for name in names if any(_is_left_out(name, row) for row in rows))


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """The same environment without what is left out, which it names in a variable."""
    gone = set(left_out(environ))
    kept = {name: value for name, value in environ.items() if name not in gone}
    if gone:
        kept[_RECORD] = " ".join(noticed(environ))
    return kept


def noticed(environ: Mapping[str, str]) -> list[str]:
    """All variables that are left out, or were so before this environment came to be."""
    return sorted({*left_out(environ), *_recorded(environ)})


def without_socks(environ: Mapping[str, str]) -> dict[str, str]:
    """For services: no SOCKS proxy, with which httpx fails even where it is not used.

    Tasks get it back by `task_proxies`.
    """
    socks = {
        name: value
        for name, value in environ.items()
        if name.lower() in {"all_proxy", "http_proxy", "https_proxy"}
        and value.lower().startswith("socks")
    }
    return {**dict.fromkeys(socks, ""), _PROXIES: json.dumps(socks)} if socks else {}


def task_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """What `without_socks` took from the environment of a service, for its tasks."""
    proxies: dict[str, str] = json.loads(environ.get(_PROXIES) or "{}")
    return proxies


def _recorded(environ: Mapping[str, str]) -> list[str]:
    return environ.get(_RECORD, "").split()


def _is_left_out(name: str, row: Row) -> bool:
    return _matches(name, row.left_out) and not _matches(name, row.kept)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(_match(name, pattern) for pattern in patterns)


def _match(name: str, pattern: str) -> bool:
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
