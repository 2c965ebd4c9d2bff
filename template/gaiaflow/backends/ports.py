"""Find out which ports are taken, and by whom; move projects to free ports."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

import psutil

from gaiaflow import services
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.ports import is_free
from gaiaflow.project.project import Project
from gaiaflow.project.settings import PORT_RANGE, PORTS

_STEP = 20  # a project takes 20 ports, and 5 that are 10000 higher


def foreign_socket(port: int) -> Path | None:
    """Another user's socket file at the path that the object store would use with this port.

    It may be left from a crash, and only its owner can remove it.
    """
    for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
        with contextlib.suppress(FileNotFoundError):  # it has just been removed
            if path.lstat().st_uid != os.geteuid():
                return path
    return None


def holder(port: int) -> str:
    """Name the program that listens on a port, if this user may know."""
    if path := foreign_socket(port):
        return f"{path}, which another user's object store uses or has left behind"
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()}, pid {connection.pid}"
    except psutil.Error:
        pass
    return "another program"


class Claims:
    """Ports reserved for this process, until it or the `with` block ends.

    After one project finds a port free, but before its server listens there, another project may
    find it free, too. So each first locks the byte with the port's number in a file of this user.
    """

    def __enter__(self) -> Claims:
        path = Path.home() / ".cache" / "gaiaflow" / "ports.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()  # this releases the locks

    def claim(self, port: int) -> bool:
        """Reserve a port. Return whether it is free and not reserved by others."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            return False
        return is_free(port) and not foreign_socket(port)


def taken(wanted: Iterable[int], claims: Claims) -> int | None:
    """The first of these ports that can't be claimed; claims the ones before it."""
    return next((port for port in wanted if not claims.claim(port)), None)


def move(project: Project, claims: Claims) -> Project:
    """Move all ports by the same distance to a free block, and store them in `.env`.

    Raises:
        GaiaflowError: no block of ports is free.
    """
    known = services.all_services(project.root)
    for distance in range(_STEP, 100 * _STEP, _STEP):
        changes = {name: str(project.port(name) + distance) for name in PORTS}
        candidate = project.replaced(changes)
        allowed = all(candidate.port(name) in PORT_RANGE for name in PORTS)
        if allowed and taken(services.ports(candidate.env, known), claims) is None:
            return project.with_env(changes)
    raise GaiaflowError(
        f"No free block of ports was found.\nSet {', '.join(PORTS)} in .env to free ports."
    )
