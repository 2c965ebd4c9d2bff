"""Who may do what, and who can reach whom."""

from __future__ import annotations

from typing import Any

import docker
import psutil
import pytest

from tests.stack.test_services import ask, log_in

from .conftest import SERVICES, Project, containers_of, exec_in

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"


def test_no_container_is_privileged(containers: Project, engine: docker.DockerClient) -> None:
    found = containers_of(engine, containers)
    assert set(found) >= SERVICES
    for name, container in found.items():
        host = container.attrs["HostConfig"]
        assert host["CapDrop"] == ["ALL"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name
        assert host["Memory"] > 0 or name == "environment", name
        assert not host["Privileged"], name
        assert container.attrs["Config"]["User"].split(":")[0] not in {"", "0", "root"}, name


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_process_is_roots(containers: Project, engine: docker.DockerClient, name: str) -> None:
    container = containers_of(engine, containers)[name]
    users = {row[0] for row in container.top(ps_args="-eo uid,pid,args")["Processes"]}
    assert "0" not in users


def test_only_this_machine_is_answered(containers: Project, engine: docker.DockerClient) -> None:
    published = {
        (binding["HostIp"], int(binding["HostPort"]))
        for container in containers_of(engine, containers).values()
        for bindings in (container.attrs["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    }
    names = ("AIRFLOW_PORT", "MLFLOW_PORT", "JUPYTER_PORT", "OBJECT_STORE_PORT")
    ports = {int(containers.env[name]) for name in names}
    assert published == {("127.0.0.1", port) for port in ports}
    listening = {
        connection.laddr and connection.laddr.ip
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.laddr.port in ports
    }
    assert listening == {"127.0.0.1"}


def can_connect(container: Any, host: str, port: int) -> bool:
    code, _ = exec_in(container, "python", "-c", CONNECT, host, str(port))
    return code == 0


@pytest.mark.parametrize(
    ("host", "port", "reachable"),
    [
        ("mlflow", 5000, True),
        ("object-store", 8333, True),
        ("object-store", 8888, False),  # the filer, the master and the volume server of
        ("object-store", 9333, False),  # SeaweedFS answer without keys
        ("object-store", 8080, False),
        ("object-store", 18888, False),
        ("object-store", 19333, False),
        ("postgres", 5432, False),
        ("airflow-api-server", 8080, False),
    ],
)
def test_what_a_task_can_reach(
    containers: Project, engine: docker.DockerClient, host: str, port: int, reachable: bool
) -> None:
    """JupyterLab is on the network of tasks, and on no other."""
    jupyterlab = containers_of(engine, containers)["jupyterlab"]
    assert list(jupyterlab.attrs["NetworkSettings"]["Networks"]) == [
        f"{containers.env['COMPOSE_PROJECT_NAME']}_tasks"
    ]
    assert can_connect(jupyterlab, host, port) == reachable


def test_the_databases_have_no_way_out(containers: Project, engine: docker.DockerClient) -> None:
    postgres = containers_of(engine, containers)["postgres"]
    [network] = postgres.attrs["NetworkSettings"]["Networks"]
    assert engine.networks.get(network).attrs["Internal"]


def test_a_role_reaches_its_own_database_only(
    containers: Project, engine: docker.DockerClient
) -> None:
    postgres = containers_of(engine, containers)["postgres"]
    passwords = {
        "airflow": containers.env["AIRFLOW_DATABASE_PASSWORD"],
        "mlflow": containers.env["MLFLOW_DATABASE_PASSWORD"],
    }
    for role, password in passwords.items():
        for database in ("airflow", "mlflow"):
            address = f"postgresql://{role}@postgres/{database}"
            query = ("psql", "--no-psqlrc", address, "--command=SELECT 1")
            code, said = exec_in(postgres, *query, environment={"PGPASSWORD": password})
            assert (code == 0) == (role == database), said
        wrong = ("psql", "--no-psqlrc", f"postgresql://{role}@postgres/{role}", "-c", "SELECT 1")
        code, _ = exec_in(postgres, *wrong, environment={"PGPASSWORD": "airflow"})
        assert code != 0


def test_wrong_credentials_are_refused(environment: Project) -> None:
    answers = environment.probe("keys")["answers"]
    for call, code in answers.items():
        assert code in ({200} if call.startswith("right") else {400, 401, 403}), call
    token = environment.url("AIRFLOW_PORT") + "/auth/token"
    right = {
        "username": environment.env["AIRFLOW_USER"],
        "password": environment.env["AIRFLOW_PASSWORD"],
    }
    assert ask(token, right)[0] in {200, 201}
    assert ask(token, {"username": "admin", "password": "admin"})[0] == 401
    contents = environment.url("JUPYTER_PORT") + "/api/contents"
    assert ask(contents)[0] == 403
    code, listed = ask(contents, Authorization=f"token {environment.env['JUPYTER_TOKEN']}")
    assert code == 200
    assert b"notebooks" in listed


def test_mlflow_refuses_foreign_hosts(containers: Project) -> None:
    page = containers.url("MLFLOW_PORT") + "/api/2.0/mlflow/experiments/search"
    key = log_in(containers)
    assert ask(page, {"max_results": 1}, **key)[0] == 200
    assert ask(page, {"max_results": 1})[0] == 401
    assert ask(page, {"max_results": 1}, **key, Host="evil.example.org")[0] == 403
    assert ask(page, {"max_results": 1}, **key, Origin="http://evil.example.org")[0] == 403


@pytest.mark.parametrize("name", ["airflow-scheduler", "jupyterlab"])
def test_the_file_of_settings_is_hidden(
    containers: Project, engine: docker.DockerClient, name: str
) -> None:
    container = containers_of(engine, containers)[name]
    code, text = exec_in(container, "cat", "/opt/project/.env")
    assert (code, text) == (0, "")
    code, listed = exec_in(container, "ls", "-A", "/opt/project/.gaiaflow")
    # Older runtimes give it the mode of the folder below, so that nobody here may open it.
    refused = code == 2 and listed.endswith("Permission denied\n")
    assert refused or (code, listed) == (0, "")


def test_a_task_can_write_to_data_only(containers: Project, engine: docker.DockerClient) -> None:
    scheduler = containers_of(engine, containers)["airflow-scheduler"]
    code, said = exec_in(scheduler, "touch", "/opt/project/dags/x.py")
    assert code != 0
    assert "Read-only" in said
    mounts = {mount["Destination"]: mount["RW"] for mount in scheduler.attrs["Mounts"]}
    assert mounts["/opt/project/data"]


def test_no_secret_is_on_a_command_line(containers: Project, engine: docker.DockerClient) -> None:
    secrets = [v for n, v in containers.env.items() if len(v) >= 16 and n != "COMPOSE_PROJECT_NAME"]
    for name, container in containers_of(engine, containers).items():
        if container.status != "running":
            continue
        lines = " ".join(row[-1] for row in container.top(ps_args="-eo pid,args")["Processes"])
        assert not [secret for secret in secrets if secret in lines], name
