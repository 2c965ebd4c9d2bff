"""What a shell passes on: the table, by what each program really reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gaiaflow import services
from gaiaflow.backends import processes
from gaiaflow.project import inherited
from gaiaflow.project.clients import connect
from gaiaflow.project.inherited import TABLE, clean, left_out, noticed
from gaiaflow.project.project import prepare

from .conftest import TEMPLATE

PAGE = TEMPLATE.parent / "docs" / "reference" / "environment-variables.md"

# Each of them has ended a service, a task or an installation, or sent it somewhere else.
FOREIGN = """
    AIRFLOW_CONFIG AIRFLOW_HOME AIRFLOW__CORE__AUTH_MANAGER AIRFLOW__CORE__FERNET_KEY_CMD
    _AIRFLOW__AS_LIBRARY MLFLOW_EXPERIMENT_ID MLFLOW_REGISTRY_URI MLFLOW_RUN_ID
    MLFLOW_TRACKING_TOKEN _MLFLOW_SERVER_FILE_STORE AWS_PROFILE AWS_DEFAULT_PROFILE
    AWS_SESSION_TOKEN
    AWS_ENDPOINT_URL_S3 AWS_IGNORE_CONFIGURED_ENDPOINT_URLS AWS_NO_SIGN_REQUEST AWS_REGION
    AWS_USE_DUALSTACK_ENDPOINT AWS_CONFIG_FILE UV_FROZEN UV_LOCKED UV_NO_SYNC UV_PROJECT
    UV_PROJECT_ENVIRONMENT UV_PYTHON UV_SYSTEM_PYTHON UV_EXCLUDE_NEWER UV_RESOLUTION UV_NO_BINARY
    PIP_USER PIP_TARGET PIP_REQUIRE_VIRTUALENV PIXI_FROZEN PIXI_PROJECT_MANIFEST
    PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONINSPECT PYTHONWARNINGS
    PYTHONIOENCODING VIRTUAL_ENV JUPYTER_CONFIG_DIR JUPYTER_PATH JUPYTERHUB_SERVICE_PREFIX
    JUPYTERLAB_DIR JPY_PARENT_PID IPYTHONDIR GDAL_DATA GDAL_DRIVER_PATH GDAL_SKIP
    GDAL_CONFIG_FILE OSR_DEFAULT_AXIS_MAPPING_STRATEGY GTIFF_SRS_SOURCE COMPRESS_OVERVIEW PROJ_LIB
    PROJ_DATA PROJ_NETWORK GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE WEB_CONCURRENCY FLASK_DEBUG
    WEED_JWT_SIGNING_KEY COMPOSE_FILE MPLBACKEND
""".split()

# What people need to reach the world, or chose on purpose.
WANTED = """
    PATH HOME LANG LC_ALL TMPDIR TZ LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES OMP_NUM_THREADS
    HTTP_PROXY https_proxy ALL_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE
    CURL_CA_BUNDLE AWS_CA_BUNDLE AWS_SHARED_CREDENTIALS_FILE NETRC AIRFLOW_CONN_ARCHIVE
    AIRFLOW_VAR_SEASON UV_CACHE_DIR UV_DEFAULT_INDEX UV_INDEX_URL UV_INDEX_CORP_PASSWORD
    UV_NATIVE_TLS UV_OFFLINE UV_HTTP_TIMEOUT UV_LINK_MODE UV_PYTHON_DOWNLOADS PIP_INDEX_URL
    PIP_CERT PIP_CONFIG_FILE GDAL_HTTP_USERPWD GDAL_CACHEMAX GDAL_NUM_THREADS CPL_DEBUG
    CPL_VSIL_CURL_ALLOWED_EXTENSIONS VSI_CACHE_SIZE GIT_SSH_COMMAND GIT_AUTHOR_NAME
    GIT_CONFIG_GLOBAL DOCKER_HOST DOCKER_CONTEXT KUBECONFIG CONDA_EXE MAMBA_ROOT_PREFIX
    PGPASSWORD AZURE_STORAGE_KEY GOOGLE_APPLICATION_CREDENTIALS CDSE_PASSWORD
""".split()


def test_what_is_meant_for_other_projects_is_left_out() -> None:
    assert left_out(FOREIGN) == sorted(FOREIGN)


def test_what_people_need_passes() -> None:
    assert left_out(WANTED) == []


def test_the_documentation_shows_the_table() -> None:
    def shown(names: tuple[str, ...]) -> str:
        return ", ".join(f"`{name}`" for name in names) or "-"

    rows = [
        f"| {row.program} | {shown(row.left_out)} | {shown(row.kept)} | {row.why} |"
        for row in TABLE
    ]
    assert "\n".join(rows) in PAGE.read_text(encoding="utf-8"), "\n".join(rows)


def test_what_was_left_out_is_remembered_by_name() -> None:
    """A manager runs in two environments, one after the other, and doctor in the second."""
    once = clean({"UV_FROZEN": "1", "HOME": "/home/me"})
    assert "1" not in once.values() and once["HOME"] == "/home/me"
    assert noticed(once) == ["UV_FROZEN"]
    assert clean(once) == once
    assert noticed(clean({**once, "GIT_DIR": "x"})) == ["GIT_DIR", "UV_FROZEN"]
    assert clean({"HOME": "/home/me"}) == {"HOME": "/home/me"}


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:1080", "socks5h://proxy", "SOCKS://proxy:1"])
@pytest.mark.parametrize("name", ["ALL_PROXY", "https_proxy"])
def test_socks_is_for_tasks_only(name: str, url: str) -> None:
    environ = {name: url, "http_proxy": "http://proxy:3128"}
    of_service = {**environ, **inherited.without_socks(environ)}
    assert of_service[name] == ""
    assert of_service["http_proxy"] == "http://proxy:3128"
    assert {**of_service, **inherited.task_proxies(of_service)}[name] == url


def test_other_proxies_are_for_all() -> None:
    assert inherited.without_socks({"ALL_PROXY": "http://proxy:3128"}) == {}
    assert inherited.task_proxies({"ALL_PROXY": "http://proxy:3128"}) == {}


@pytest.mark.parametrize(
    "name", ["airflow-api-server", "airflow-scheduler", "mlflow", "jupyterlab"]
)
def test_httpx_works_in_the_environment_of_a_service(
    project_root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It refuses a SOCKS proxy even for addresses for which it would not use it."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    service = next(service for service in services.SERVICES if service.name == name)
    env = {**os.environ, **service.env(prepare(project_root)), "PYTHONPATH": ""}
    code = [sys.executable, "-c", "import httpx; httpx.Client(); httpx.AsyncClient()"]
    subprocess.run(code, env=env, check=True)


def test_a_service_speaks_utf8_and_sees_no_packages_of_the_user(tmp_path: Path) -> None:
    code = "import sys, site; print(sys.flags.utf8_mode, site.ENABLE_USER_SITE, 'Ä')"
    env = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    log = tmp_path / "log"
    process = processes.spawn([sys.executable, "-c", code], env, tmp_path, "mlflow", log)
    assert process.wait(20) == 0
    assert log.read_text(encoding="utf-8") == "1 False Ä\n"


def test_services_have_folders_of_their_own(
    project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the home is the person's, and may be for another version or account."""
    monkeypatch.setenv("HOME", "/home/me")
    project = prepare(project_root)
    homes = {
        "airflow-scheduler": {"AIRFLOW_HOME"},
        "jupyterlab": {
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
            "IPYTHONDIR",
        },
        "object-store": {"HOME"},
    }
    for service in services.SERVICES:
        env = service.env(project)
        for name in homes.get(service.name, ()):
            assert Path(env[name]).is_relative_to(project.state.path), name
        if service.name in {"mlflow", "jupyterlab", "airflow-scheduler"}:
            assert env["AWS_CONFIG_FILE"] == os.devnull


def test_connect_leaves_the_rest_of_a_shell_alone(
    project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {"AWS_DEFAULT_PROFILE": "x", "MLFLOW_REGISTRY_URI": "x", "AWS_NO_SIGN_REQUEST": "YES"}
    mine = {"PROJ_DATA": "/conda/share/proj", "AWS_SHARED_CREDENTIALS_FILE": "/home/me/keys"}
    prepare(project_root)
    monkeypatch.setattr(os, "environ", {"HOME": "/home/me", **others, **mine})
    connect(project_root)
    assert mine.items() <= os.environ.items()
    assert not others.keys() & os.environ.keys()
    assert os.environ["MLFLOW_TRACKING_URI"]
