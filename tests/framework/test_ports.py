"""Ports, with real sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gaiaflow import services
from gaiaflow.backends import ports
from gaiaflow.project import envfile
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.ports import is_free
from gaiaflow.project.project import Project, prepare
from gaiaflow.project.settings import PORTS
from gaiaflow.services import SERVICES

from .conftest import TEMPLATE
from .doctor import NOBODY, only_root

NAMES = [service.name for service in SERVICES]


@contextmanager
def listening(port: int, host: str = "127.0.0.1") -> Iterator[int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims are noted in the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))


def numbers(project: Project, names: list[str]) -> list[int]:
    return services.ports(project.env, [s for s in services.SERVICES if s.name in names])


def taken(project: Project, names: list[str]) -> int | None:
    with ports.Claims() as claims:
        return ports.taken(numbers(project, names), claims)


def move(project: Project) -> Project:
    with ports.Claims() as claims:
        return ports.move(project, claims)


@pytest.fixture
def project(project_root: Path) -> Project:
    """A project whose ports are free, with a remark of the user's in its .env."""
    project = prepare(project_root)
    for start in range(11000 + os.getpid() % 4000, 19000, 20):
        moved = {name: str(start + index) for index, name in enumerate(PORTS)}
        moved["SERVICES_PORT"] = str(start + 10)  # after those of the object store
        candidate = project.replaced(moved)
        if taken(candidate, NAMES) is None:
            file = project_root / ".env"
            envfile.write(file, "# mine\n" + file.read_text(encoding="utf-8"))
            return project.with_env(moved)
    pytest.fail("no free ports on this machine")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_listener_is_seen_wherever_it_listens(host: str) -> None:
    if ":" in host and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        with listening(0, host) as port:
            assert not is_free(port)
            assert ports.holder(port).endswith(f"pid {os.getpid()}")
    except OSError as error:
        pytest.skip(f"cannot listen on {host}: {error}")
    assert is_free(port)


def test_every_port_of_a_service_counts(project: Project) -> None:
    for port in numbers(project, NAMES):
        with listening(port):
            assert taken(project, NAMES) == port
    store = numbers(project, ["object-store"])
    with listening(store[-1]):
        assert taken(project, ["airflow-api-server", "mlflow"]) is None


def test_a_move_keeps_ports_together_and_the_rest_of_the_file(project: Project) -> None:
    before = (project.root / ".env").read_text(encoding="utf-8")
    with listening(project.port("MLFLOW_PORT")):
        moved = move(project)
        assert taken(moved, NAMES) is None
    distances = {moved.port(name) - project.port(name) for name in PORTS}
    assert len(distances) == 1
    assert prepare(project.root).env == moved.env
    after = before
    for name in PORTS:
        after = after.replace(f"{name}={project.env[name]}", f"{name}={moved.env[name]}")
    assert (project.root / ".env").read_text(encoding="utf-8") == after


def test_a_move_goes_past_a_second_listener(project: Project) -> None:
    with listening(project.port("MLFLOW_PORT")), listening(project.port("MLFLOW_PORT") + 20):
        moved = move(project)
        assert moved.port("MLFLOW_PORT") >= project.port("MLFLOW_PORT") + 40


def test_no_move_beyond_the_last_port(project: Project) -> None:
    """What a move writes must be what the next start accepts."""
    for name in PORTS:
        changes = {other: str(30000 + 10 * index) for index, other in enumerate(PORTS)}
        edge = project.with_env({**changes, name: "55530"})
        before = (project.root / ".env").read_bytes()
        with pytest.raises(GaiaflowError, match="No free block of ports"):
            move(edge)
        assert (project.root / ".env").read_bytes() == before
        assert prepare(project.root).env == edge.env


def test_a_claimed_port_is_taken_for_others(project: Project) -> None:
    """Two projects that start at the same time look for free ports at the same time."""
    code = "import sys; from gaiaflow.backends import ports; c = ports.Claims().__enter__(); " + (
        "print(c.claim(int(sys.argv[1])), flush=True); sys.stdin.read()"
    )
    port = project.port("MLFLOW_PORT")
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(port)],
        env={**os.environ, "PYTHONPATH": str(TEMPLATE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout
    assert other.stdout.readline() == "True\n"
    assert taken(project, NAMES) == port
    assert move(project).port("MLFLOW_PORT") != port
    other.communicate("")
    assert taken(project, NAMES) is None  # a process that has ended claims nothing


@only_root
def test_a_socket_of_another_users_object_store_takes_its_port(project: Project) -> None:
    """The store would use it, and can't: in /tmp only its owner may remove it."""
    port = numbers(project, ["object-store"])[-1]
    path = Path(f"/tmp/seaweedfs-admin-grpc-{port}.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    try:
        assert taken(project, NAMES) is None  # ours, left by a crash: the store replaces it
        os.chown(path, NOBODY, NOBODY)
        assert taken(project, NAMES) == port
        assert str(path) in ports.holder(port)
        assert taken(move(project), NAMES) is None
    finally:
        path.unlink()
