"""What docker refuses is shown, with what to do next, and ends with a code that tells."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from .conftest import SERVICES, Project, containers_of, states


@pytest.fixture
def env_file(containers: Project) -> Iterator[Path]:
    """The settings, to be spoiled by one test."""
    before = containers.env_file.read_bytes()
    yield containers.env_file
    containers.env_file.write_bytes(before)


def set_value(env_file: Path, name: str, value: str) -> None:
    text = re.sub(rf"(?m)^{name}=.*\n", "", env_file.read_text(encoding="utf-8"))
    env_file.write_text(f"{text}{name}={value}\n", encoding="utf-8")


def start(project: Project, **environment: str) -> tuple[int, str]:
    done = project.manage("start", "--backend", "compose", **environment)
    assert "Traceback" not in done.err
    return done.code, done.err


def test_no_engine(containers: Project, tmp_path: Path) -> None:
    for command in (["start", "--backend", "compose"], ["status"], ["build"]):
        done = containers.manage(*command, DOCKER_HOST=f"unix://{tmp_path}/no.sock")
        assert done.code == 1
        assert "Docker does not answer at unix://" in done.err
        assert "mlops_manager.py doctor" in done.err
        assert "--backend local" in done.err
        assert "Traceback" not in done.err


@pytest.mark.slow
def test_an_image_that_nobody_has(containers: Project, env_file: Path) -> None:
    assert containers.manage("stop").code == 0
    set_value(env_file, "POSTGRES_IMAGE", "gaiaflow.invalid/postgres:17")
    code, said = start(containers)
    assert code == 1
    assert "gaiaflow.invalid" in said


@pytest.mark.slow
def test_a_build_that_fails(containers: Project) -> None:
    assert containers.manage("stop").code == 0
    dockerfile = containers.root / "dockerfiles" / "mlflow" / "Dockerfile"
    text = dockerfile.read_text(encoding="utf-8")
    dockerfile.write_text(text + "RUN echo the reason why >&2 && exit 7\n", encoding="utf-8")
    try:
        code, said = start(containers)
    finally:
        dockerfile.write_text(text, encoding="utf-8")
    assert code == 1
    assert "the reason why" in said


@pytest.mark.slow
def test_a_step_that_fails(containers: Project, env_file: Path) -> None:
    """The last lines of the one that failed are shown, and who waits for it in vain."""
    assert containers.manage("stop").code == 0
    right = env_file.read_bytes()
    set_value(env_file, "AIRFLOW_DATABASE_PASSWORD", "another")
    code, said = start(containers)
    assert code == 1
    assert "airflow-init: it ended with exit code 1" in said
    assert "password authentication failed" in said
    assert "airflow-api-server: it needs airflow-init, which failed" in said
    assert "logs airflow-init" in said

    env_file.write_bytes(right)
    code, said = start(containers)
    assert code == 0, said


def test_a_missing_setting_is_named(containers: Project, env_file: Path) -> None:
    text = env_file.read_text(encoding="utf-8")
    env_file.write_text(re.sub(r"(?m)^POSTGRES_PASSWORD=.*\n", "", text), encoding="utf-8")
    code, said = start(containers)
    assert code == 1
    assert ".env lacks POSTGRES_PASSWORD" in said


@pytest.mark.slow
def test_a_busy_port(containers: Project, engine: docker.DockerClient, env_file: Path) -> None:
    assert containers.manage("stop").code == 0
    with socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        foreign.bind(("127.0.0.1", int(containers.env["MLFLOW_PORT"])))
        foreign.listen()
        code, said = start(containers)
        assert code == 0, said
        assert re.search(r"ports: moved.* port \d+ is taken by .*; \.env now has", said)
        assert states(containers) == dict.fromkeys(SERVICES, "healthy")
    assert containers.manage("stop").code == 0
    assert containers_of(engine, containers) == {}


@pytest.mark.slow
def test_secrets_of_another_account_do_not_win(containers: Project) -> None:
    """Compose takes a variable of the shell before one of .env: the manager does not let it."""
    code, said = start(containers, AWS_ACCESS_KEY_ID="foreign", AWS_SECRET_ACCESS_KEY="foreign")
    assert code == 0, said
    assert states(containers)["object-store"] == "healthy"
