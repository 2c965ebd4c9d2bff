"""What stands before the map: tickets, sessions, keys in addresses, and the password."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from gaiaflow.entrypoints.guard import Message
from gaiaflow.maps.entrance import Entrance
from gaiaflow.project import maps

PASSWORD = "für:mich"
NOW = 1_800_000_000.5
TILE = "/layers/c/i/map/1/0/0.png"
KEY = f"key={maps.key(PASSWORD)}".encode()
NAME, SESSION = maps.session(PASSWORD)
BASIC = "Basic " + base64.b64encode(f"maria:{PASSWORD}".encode()).decode()


def entrance() -> Entrance:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    return Entrance(app, "maria", PASSWORD)


def ask(path: str, query: bytes = b"", at: Entrance | None = None, **headers: str) -> Message:
    """The beginning of the answer, with its headers as a dictionary."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    given = {"host": "127.0.0.1:8088", **headers}
    raw = [(name.replace("_", "-").encode(), text.encode()) for name, text in given.items()]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": raw}
    asyncio.run((at or entrance())(scope, receive, send))
    return {**sent[0], "headers": dict(sent[0]["headers"])}


def status(path: str, query: bytes = b"", at: Entrance | None = None, **headers: str) -> int:
    return int(ask(path, query, at, **headers)["status"])


def test_a_ticket_is_for_its_project_and_for_a_minute() -> None:
    ticket = maps.ticket(PASSWORD, NOW)
    assert maps.is_ticket(PASSWORD, ticket, NOW)
    assert maps.is_ticket(PASSWORD, ticket, NOW + 59)
    assert not maps.is_ticket(PASSWORD, ticket, NOW + 61)
    assert not maps.is_ticket("other", ticket, NOW)
    assert maps.ticket(PASSWORD, NOW) != ticket
    until, _, rest = ticket.partition(".")
    assert not maps.is_ticket(PASSWORD, f"{int(until) + 9999}.{rest}", NOW)


@pytest.mark.parametrize("text", ["", ".", "1", "1.2.3", "ü.ü", "99999999999.x." + "0" * 64])
def test_what_is_no_ticket(text: str) -> None:
    assert not maps.is_ticket(PASSWORD, text, NOW)


def test_keys_tell_nothing_of_each_other() -> None:
    made = {PASSWORD, maps.key(PASSWORD), *maps.session(PASSWORD), maps.ticket(PASSWORD, NOW)}
    assert len(made) == 5
    assert maps.session("other")[0] != NAME  # browsers send cookies to all ports of a host


def test_a_ticket_opens_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)
    at = entrance()
    ticket = b"ticket=" + maps.ticket(PASSWORD, NOW).encode()
    answer = ask("/enter", ticket, at)
    assert (answer["status"], answer["headers"][b"location"]) == (303, b"/")
    cookie = answer["headers"][b"set-cookie"].decode()
    assert cookie == f"{NAME}={SESSION}; Path=/; HttpOnly; SameSite=Strict"
    assert status("/enter", ticket, at) == 403
    assert status("/enter", b"ticket=wrong", at) == 403
    assert status("/enter", b"", at) == 403


def test_a_session_opens_for_its_own_pages() -> None:
    cookie = f"other=1; {NAME}={SESSION}"
    assert status("/", cookie=cookie) == 200
    assert status("/", cookie=f"{NAME}=wrong") == 401
    assert status("/", cookie="=;\x7f=,") == 401
    foreign = {"sec_fetch_site": "same-site", "sec_fetch_mode": "no-cors"}
    assert status("/", b"", None, cookie=cookie, **foreign) == 403


def test_a_key_opens_layers_only() -> None:
    foreign = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}
    answer = ask(TILE, KEY, None, **foreign)  # a notebook's page
    assert answer["status"] == 200
    assert answer["headers"][b"access-control-allow-origin"] == b"*"
    assert status(TILE, b"key=wrong") == status(TILE, b"key=") == status(TILE) == 401
    assert status("/api/collections", KEY) == status("/", KEY) == 401


def test_the_password_opens() -> None:
    answer = ask("/", authorization=BASIC)
    assert answer["status"] == 200
    assert b"access-control-allow-origin" not in answer["headers"]
    asked = ask("/")["headers"][b"www-authenticate"]
    assert asked == b'Basic realm="The map", charset="UTF-8"'


@pytest.mark.parametrize("host", ["evil.example.org", "evil.example.org:8088", "127.0.0.1", ""])
def test_another_name_of_this_computer_is_refused(host: str) -> None:
    """A page of another site may have its name point here, and then count as the same site."""
    assert status(TILE, KEY, None, host=host) == 403
    assert status("/", authorization=BASIC, host=host) == 403
    assert status("/health", host=host) == 200
    assert status("/", authorization=BASIC, host="localhost:8088") == 200


def test_what_the_browser_may_keep_and_load() -> None:
    headers = ask(TILE, KEY)["headers"]
    assert headers[b"cache-control"] == b"no-cache"
    assert b"immutable" in ask(TILE, b"v=3&" + KEY)["headers"][b"cache-control"]
    assert headers[b"content-security-policy"].startswith(b"default-src 'self'")
    assert headers[b"referrer-policy"] == b"no-referrer"
