"""How Airflow and the server of warm tasks talk.

A request is a line of JSON, and a file descriptor for the task's output. The fork of the task
answers with its process id, and calls the function when the client says that it goes on: a client
that stopped waiting calls it otherwise. A last line says how the task ended.

The socket has no file: nothing to clean up, and no limit to the project's path. But any user can
connect to such a socket, or be there first. So both sides check who is at the other end.

Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CREDENTIALS = struct.Struct("3i")  # pid, user, group


def name(root: Path) -> str:
    """The socket's name for this user and project (unix(7): abstract sockets)."""
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return f"\0gaiaflow-{os.geteuid()}-{digest}"


def new() -> socket.socket:
    """A socket for either side."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


def connect(root: Path) -> socket.socket:
    """Connect to the project's server.

    Raises:
        OSError: there is none, it is not ready yet, or it is another user's.
    """
    connection = new()
    try:
        connection.connect(name(root))
        _check_user(connection)
    except OSError:
        connection.close()
        raise
    return connection


def send_request(connection: socket.socket, request: Mapping[str, Any], output: int) -> None:
    """Send a request, and the file descriptor for the output of its task."""
    socket.send_fds(connection, [b"\n"], [output])
    send(connection, request)


def receive_request(connection: socket.socket) -> tuple[dict[str, Any], int]:
    """Receive a request and a file descriptor.

    Raises:
        OSError: the other side is another user's, or did not send a request in time.
        ValueError: it sent something else.
    """
    _check_user(connection)
    _, [output], _, _ = socket.recv_fds(connection, 1, 1)
    os.set_inheritable(output, False)
    try:
        return receive(connection), output
    except (OSError, ValueError):
        os.close(output)
        raise


def send(connection: socket.socket, message: Mapping[str, Any]) -> None:
    """Send a line."""
    connection.sendall(json.dumps(message).encode() + b"\n")


def receive(connection: socket.socket) -> dict[str, Any]:
    """Receive a line.

    Raises:
        OSError: there is none in time.
        ValueError: the connection ended, or this is not JSON.
    """
    line = b""
    while not line.endswith(b"\n"):
        # Look first: what follows the line belongs to the next reader.
        seen = connection.recv(1 << 16, socket.MSG_PEEK)
        line += connection.recv(seen.find(b"\n") + 1 or len(seen))
        if not seen:
            raise ValueError("the connection ended")
    message: dict[str, Any] = json.loads(line)
    return message


def peer(connection: socket.socket) -> tuple[int, int]:
    """The process and the user at the other end, as they were when it was connected."""
    assert sys.platform == "linux"
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, _ = _CREDENTIALS.unpack(data)
    return pid, user


def _check_user(connection: socket.socket) -> None:
    user = peer(connection)[1]
    if user != os.geteuid():
        raise PermissionError(f"the user with the id {user} is at the other end")
