"""What another user of the same computer, or a page of another site, gets from a running project.

docs/reference/ports.md has the table that these tests hold.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import HERE, Project
from .test_services import ask, log_in

STRANGER = HERE / "probes" / "stranger.py"

PATHS = [
    "/",
    "/health",
    "/execution/health",
    "/api",
    "/api/contents",
    "/api/kernels",
    "/api/sessions",
    "/login",
    "/version",
    "/metrics",
    "/static-files/manifest.json",
    "/api/v2/dags",
    "/api/v2/connections",
    "/api/v2/config",
    "/api/2.0/mlflow/experiments/search?max_results=1",
    "/ajax-api/2.0/mlflow/experiments/search?max_results=1",
    "/ajax-api/3.0/mlflow/assistant/config",
    "/api/2.0/mlflow-artifacts/artifacts",
    "/gaiaflow",
    "/gaiaflow?list-type=2",
]

# What answers everybody with success, and tells nothing of the project's work.
OPEN = {
    # Whatever the path, but for its API: the page that asks for the log-in.
    "AIRFLOW_PORT": {
        "/execution/health",
        *(path for path in PATHS if not path.startswith(("/api/", "/execution/"))),
    },
    "MLFLOW_PORT": {"/health"},
    "JUPYTER_PORT": {"/", "/api", "/login"},
    "OBJECT_STORE_PORT": set(),
}


@pytest.fixture(scope="module")
def stranger(stack: Project) -> Any:
    """Ask as nobody, who is no friend of ours; what came of it, as JSON."""
    if os.geteuid() != 0:
        pytest.skip("only root can ask as another user")
    nobody = pwd.getpwnam("nobody").pw_uid
    first = int(stack.env["OBJECT_STORE_PORT"])
    asked = {
        "root": str(stack.root),
        "http": {name: [stack.url(name), PATHS] for name in OPEN},
        "grpc": [*range(first + 1, first + 5), *range(first + 10000, first + 10005)],
        "sockets": [
            str(path)
            for port in range(first + 10000, first + 10005)
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")
        ],
        "alias": stack.url("MLFLOW_PORT") + "/api/2.0/mlflow/registered-models/alias",
    }
    who: dict[str, Any] = {"user": nobody, "group": nobody, "extra_groups": [], "cwd": "/"}
    done = subprocess.run(
        [python_for(who), "-I", "-c", STRANGER.read_text(encoding="utf-8")],
        input=json.dumps(asked),
        env={},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **who,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def python_for(who: dict[str, Any]) -> str:
    """A Python that another user may run; this one may lie in a home that is closed to others."""
    for python in (getattr(sys, "_base_executable", sys.executable), "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            if subprocess.run([python, "-c", ""], check=False, **who).returncode == 0:
                return str(python)
    pytest.skip("another user can run no Python here: install one in /usr/bin")


def test_another_user_moves_no_champion(stranger: Any) -> None:
    assert stranger["alias"] == 401


@pytest.mark.parametrize("name", OPEN)
def test_another_user_reads_nothing(stranger: Any, name: str) -> None:
    answered = {path for path, code in stranger["http"][name].items() if 200 <= code < 300}
    assert answered <= OPEN[name]
    assert any(code in (401, 403) for code in stranger["http"][name].values())


def test_no_grpc_port_talks_to_another_user(stranger: Any) -> None:
    """The servers of the object store want a certificate of each other."""
    assert len(stranger["grpc"]) == 9
    assert not [port for port, spoke in stranger["grpc"].items() if spoke]


def test_the_sockets_are_the_owners_alone(stranger: Any) -> None:
    assert stranger["sockets"]
    assert not [path for path, opened in stranger["sockets"].items() if opened]


def test_what_a_project_keeps_is_the_owners_alone(stranger: Any, stack: Project) -> None:
    assert stat.S_IMODE((stack.root / ".gaiaflow").stat().st_mode) == 0o700
    for file in (stack.root / ".gaiaflow" / "certificates").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert not stranger["readable"]


# --- Pages of other sites ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("AIRFLOW_PORT", "/api/v2/dags"),
        ("MLFLOW_PORT", "/api/2.0/mlflow/experiments/search?max_results=1"),
        ("JUPYTER_PORT", "/api/contents"),
        ("OBJECT_STORE_PORT", "/gaiaflow?list-type=2"),
    ],
)
@pytest.mark.parametrize("header", [{"Host": "evil.example.org"}, {"Origin": "http://evil.org"}])
def test_a_page_of_another_site_gets_nothing(
    stack: Project, name: str, path: str, header: dict[str, str]
) -> None:
    # JupyterLab answers another origin with 404.
    assert ask(stack.url(name) + path, **header)[0] in {401, 403, 404}


@pytest.mark.parametrize(
    "header",
    [
        {"Host": "evil.example.org"},  # DNS rebinding
        {"Origin": "http://evil.example.org"},
        {"Origin": "http://127.0.0.1:1"},  # of another user of this computer
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_nor_with_the_password_that_the_browser_knows(
    stack: Project, header: dict[str, str]
) -> None:
    page = stack.url("MLFLOW_PORT") + "/api/2.0/mlflow/experiments/search?max_results=1"
    assert ask(page, **log_in(stack))[0] == 200
    assert ask(page, **log_in(stack), **header)[0] == 403
    token = {"Authorization": f"token {stack.env['JUPYTER_TOKEN']}"}
    host = {"Host": "evil.example.org"}
    assert ask(stack.url("JUPYTER_PORT") + "/api/contents", **token, **host)[0] == 403
