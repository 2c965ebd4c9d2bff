"""Protect a server that has no passwords: require the project's, and block other sites' pages.

Standard library only.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_FOREIGN = b"This request comes from another site. Only pages of this server may send requests.\n"
_LOG_IN = (
    "{name} needs a user and a password: `python3 mlops_manager.py status` shows them.\n"
    "In a notebook or a script, call gaiaflow.connect() first. Other programs read them from\n"
    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.\n"
)


class Guard:
    """ASGI middleware that passes on only requests with the user and password.

    Args:
        app: the protected application.
        user: the user name to require.
        password: the password to require.
        name: what it is called in messages.
        open_path: the one path that needs no password, for health checks.
    """

    def __init__(
        self,
        app: App,
        user: str,
        password: str,
        name: str = "MLflow",
        open_path: str = "/health",
    ) -> None:
        self._app = app
        self._name = name
        token = base64.b64encode(f"{user}:{password}".encode())
        self._expected = b"Basic " + token
        self.open_path = open_path

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, or refuse it."""
        if scope["type"] == "lifespan" or scope["path"] == self.open_path:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if is_foreign(scope, headers):
            await refuse(scope, send, 403, _FOREIGN)
        elif not hmac.compare_digest(headers.get(b"authorization", b""), self._expected):
            log_in = _LOG_IN.format(name=self._name).encode()
            await refuse(scope, send, 401, log_in, realm=self._name)
        else:
            await self._app(scope, receive, send)


def is_foreign(scope: Message, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request comes from a different site's page; following a link to ours is fine.

    The password is not enough: a browser that knows it also sends it for other sites' pages.
    """
    site = headers.get(b"sec-fetch-site", b"none")
    if site not in {b"none", b"same-origin"}:
        mode = headers.get(b"sec-fetch-mode")
        return not (mode == b"navigate" and scope.get("method") == "GET")
    origin = headers.get(b"origin")
    return origin is not None and origin.partition(b"://")[2] != headers.get(b"host")


async def refuse(scope: Message, send: Send, status: int, text: bytes, realm: str = "") -> None:
    """Answer with a message instead of the application; a realm asks for the password."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
    ]
    if realm:
        asked = f'Basic realm="{realm}", charset="UTF-8"'
        headers.append((b"www-authenticate", asked.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
