"""Ports of this machine: which are taken, by whom, and where all of a project's fit."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterable
from pathlib import Path

import psutil

from gaiaflow import services
from gaiaflow.errors import GaiaflowError
from gaiaflow.settings import PORT_RANGE, PORTS, Project

_STEP = 20  # a project takes 13 ports, five of them once more 10000 higher


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def foreign_socket(port: int) -> Path | None:
    """A socket of another user's that the object store would use with this port.

    A crash may have left it, and nobody but its owner may remove it.
    """
    for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            if path.lstat().st_uid != os.geteuid():
                return path
    return None


def holder(port: int) -> str:
    """Say who listens on a port, as far as this user may know."""
    if path := foreign_socket(port):
        return f"{path}, which another user's object store has left or uses"
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()}, pid {connection.pid}"
    except psutil.Error:
        pass
    return "another program"


class Claims:
    """The ports that this process is about to use, until it ends or the `with` block does.

    Between the look whether a port is free and the moment when a server listens on it, another
    project may look too. So who looks locks the byte of that number in a file of this user's.
    """

    def __enter__(self) -> Claims:
        path = Path.home() / ".cache" / "gaiaflow" / "ports.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()  # which unlocks

    def claim(self, port: int) -> bool:
        """Whether a port is free, and nobody else is about to use it."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            return False
        return is_free(port) and not foreign_socket(port)


def taken(wanted: Iterable[int], claims: Claims) -> int | None:
    """The first of these ports that cannot be had; claims the others."""
    return next((port for port in wanted if not claims.claim(port)), None)


def move(project: Project, claims: Claims) -> Project:
    """Move all ports by the same distance, to where all are free, and store that in `.env`.

    Raises:
        GaiaflowError: no block of ports is free.
    """
    for distance in range(_STEP, 100 * _STEP, _STEP):
        changes = {name: str(project.port(name) + distance) for name in PORTS}
        candidate = project.replaced(changes)
        allowed = all(candidate.port(name) in PORT_RANGE for name in PORTS)
        if allowed and taken(services.ports(candidate, services.SERVICES), claims) is None:
            return project.with_env(changes)
    raise GaiaflowError(
        "No free block of ports was found. Set AIRFLOW_PORT, MLFLOW_PORT, JUPYTER_PORT and "
        "OBJECT_STORE_PORT in .env to free ports."
    )
