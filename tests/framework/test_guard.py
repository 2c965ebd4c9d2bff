"""What stands before MLflow: who is let in, and what a browser may ask on whose behalf."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from gaiaflow.entrypoints.guard import Guard, Message

HOST = ("Host", "127.0.0.1:8081")


def basic(user: str, password: str) -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


RIGHT = basic("maria", "für:mich")


def ask(
    *headers: tuple[str, str], path: str = "/api/x", method: str = "GET", kind: str = "http"
) -> Message:
    """The first message of the answer; "inside" if it is the application's."""

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "inside"})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    raw = [(name.lower().encode(), value.encode()) for name, value in (HOST, *headers)]
    scope = {"type": kind, "path": path, "headers": raw}
    if kind == "http":
        scope["method"] = method
    asyncio.run(Guard(app, "maria", "für:mich")(scope, receive, send))
    return sent[0]


def status(*headers: tuple[str, str], **options: str) -> int:
    """The status of a refusal; 0 if the application answers."""
    message = ask(*headers, **options)
    return 0 if message["type"] == "inside" else int(message["status"])


def test_the_password_opens() -> None:
    assert status(RIGHT) == status(RIGHT, method="POST") == 0


@pytest.mark.parametrize(
    "wrong",
    [
        ("Accept", "*/*"),
        basic("maria", "wrong"),
        basic("maria", ""),
        basic("tom", "für:mich"),
        ("Authorization", "Basic"),
        ("Authorization", ""),
        ("Authorization", "Bearer für:mich"),
        ("Authorization", RIGHT[1] + "="),
    ],
)
def test_all_else_does_not(wrong: tuple[str, str]) -> None:
    message = ask(wrong)
    assert message["status"] == 401
    assert (b"www-authenticate", b'Basic realm="MLflow", charset="UTF-8"') in message["headers"]


@pytest.mark.parametrize("path", ["/", "/version", "/healthy", "/health/", "//health", "/a/health"])
def test_one_page_is_for_everybody(path: str) -> None:
    assert status(path="/health") == 0
    assert status(path=path) == 401


def test_a_websocket_is_closed() -> None:
    assert ask(kind="websocket") == {"type": "websocket.close", "code": 1008}
    assert ask(RIGHT, kind="websocket")["type"] == "inside"


def test_the_server_itself_may_start() -> None:
    assert ask(kind="lifespan")["type"] == "inside"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "foreign",
    [
        [("Origin", "http://evil.example.org")],
        [("Origin", "http://127.0.0.1:8082")],  # another server of this computer
        [("Origin", "null")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")],
    ],
)
def test_pages_of_others_get_nothing(foreign: list[tuple[str, str]], method: str) -> None:
    """The browser sends the password along, for it knows it."""
    assert status(RIGHT, *foreign, method=method) == 403


def test_its_own_pages_and_links_to_them() -> None:
    assert status(RIGHT, ("Origin", "http://127.0.0.1:8081"), method="POST") == 0
    assert status(RIGHT, ("Sec-Fetch-Site", "same-origin"), method="POST") == 0
    assert status(RIGHT, ("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate")) == 0
    link = (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"))
    assert status(RIGHT, *link) == 0
    assert status(RIGHT, *link, method="POST") == 403  # a form that sends itself
