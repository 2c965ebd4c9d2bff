"""Let in only who has a key of the project: a ticket, a session, the password, or a tile's key.

Standard library only.
"""

from __future__ import annotations

import hmac
import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from gaiaflow.entrypoints.guard import App, Guard, Message, Receive, Send, is_foreign, refuse
from gaiaflow.project import maps

# The page and its tiles come from here alone. Notebooks may show it in a frame.
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self' http://127.0.0.1:* http://localhost:*"
)
_HOSTS = {b"127.0.0.1", b"localhost"}
_OTHER_HOST = b"Open the map as http://127.0.0.1 or http://localhost.\n"
_USED = b"This address was used before, or is older than a minute. Get a new one:\n"
_USED += b"    python3 mlops_manager.py open maps\n"


class Entrance:
    """ASGI middleware in front of the map.

    Args:
        app: the map's application.
        user: the user name of the project.
        password: its password.
    """

    def __init__(self, app: App, user: str, password: str) -> None:
        self._password = password
        self._key = maps.key(password).encode()
        self._cookie, self._session = maps.session(password)
        self._app = _with_headers(app)
        self._guard = Guard(self._app, user, password, name="The map")
        self._used: dict[str, float] = {}  # tickets, and when

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, or refuse it."""
        if scope["type"] != "http" or scope["path"] == self._guard.open_path:
            await self._guard(scope, receive, send)
            return
        headers = dict(scope["headers"])
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if headers.get(b"host", b"").rpartition(b":")[0] not in _HOSTS:
            await refuse(scope, send, 403, _OTHER_HOST)
        elif scope["path"] == maps.ENTRANCE:
            await self._enter(scope, send, query.get("ticket", [""])[0])
        elif scope["path"].startswith("/layers/") and self._has_key(query):
            await self._app(scope, receive, _for_all_origins(send))
        elif self._has_session(headers) and not is_foreign(scope, headers):
            await self._app(scope, receive, send)
        else:
            await self._guard(scope, receive, send)

    async def _enter(self, scope: Message, send: Send, ticket: str) -> None:
        """Start a session, and go on to the page."""
        now = time.time()
        if not maps.is_ticket(self._password, ticket, now) or ticket in self._used:
            await refuse(scope, send, 403, _USED)
            return
        self._used = {
            other: when
            for other, when in {**self._used, ticket: now}.items()
            if maps.is_ticket(self._password, other, now)
        }
        cookie = f"{self._cookie}={self._session}; Path=/; HttpOnly; SameSite=Strict"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode())]
        headers += [(b"content-length", b"0"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _has_key(self, query: dict[str, list[str]]) -> bool:
        return hmac.compare_digest(query.get("key", [""])[0].encode(), self._key)

    def _has_session(self, headers: dict[bytes, bytes]) -> bool:
        try:
            cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
        except CookieError:
            return False
        found = cookies[self._cookie].value if self._cookie in cookies else ""
        return hmac.compare_digest(found.encode(), self._session.encode())


def _with_headers(app: App) -> App:
    """Add headers to each answer: what the page may load, and how long a browser keeps it."""

    async def wrapped(scope: Message, receive: Receive, send: Send) -> None:
        # A tile whose address names the version of its item never changes.
        forever = scope["type"] == "http" and b"v=" in scope["query_string"]

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = b"private, max-age=86400, immutable" if forever else b"no-cache"
                message["headers"] = [
                    *message["headers"],
                    (b"cache-control", kept if message["status"] == 200 else b"no-store"),
                    (b"content-security-policy", _POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        await app(scope, receive, add)

    return wrapped


def _for_all_origins(send: Send) -> Send:
    """Let scripts of notebooks read an answer: its address had the key."""

    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            allowed = (b"access-control-allow-origin", b"*")
            message["headers"] = [*message["headers"], allowed]
        await send(message)

    return add
