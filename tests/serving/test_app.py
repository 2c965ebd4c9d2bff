"""The HTTP side: keys, limits, ids and metrics."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import httpx
import pandas as pd
import pytest

from gaiaflow.serving.app import App, Limits
from gaiaflow.serving.request_log import RequestLog
from gaiaflow.serving.scenes import Scenes
from gaiaflow.serving.store import Store

from .conftest import Load

LIMITS = Limits(max_bytes=1000, max_waiting=2, seconds=20)
NO_SCENES = Scenes(None, cast(Store, None), "bucket", "landcover")
KEY = {"authorization": "Bearer key"}
ONE_ROW = {"dataframe_split": {"columns": ["red", "nir"], "data": [[0.1, 0.4]]}}


class Client:
    """Sends requests to an application, several at once if wanted."""

    def __init__(self, app: App) -> None:
        self.app = app

    def send(self, *requests: httpx.Request) -> list[httpx.Response]:
        async def send_all() -> list[httpx.Response]:
            transport: Any = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport) as client:
                return await asyncio.gather(*map(client.send, requests))

        return asyncio.run(send_all())

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        options = {"headers": KEY, **options}
        [answer] = self.send(httpx.Request(method, f"http://test{path}", **options))
        return answer


@pytest.fixture
def log() -> Any:
    """A log whose entries stay in its buffer."""
    log = RequestLog(lambda key, content: None, "landcover", "3", interval=3600)
    yield log
    log.close()


@pytest.fixture
def serve(load: Load, log: RequestLog) -> Callable[..., Client]:
    def serve(
        predict: Callable[[pd.DataFrame], Any] = lambda table: ["Water"] * len(table),
        limits: Limits = LIMITS,
    ) -> Client:
        return Client(App(load(predict), "landcover", "3", "key", log, limits, NO_SCENES))

    return serve


def test_a_prediction(serve: Callable[..., Client], log: RequestLog) -> None:
    answer = serve().ask("POST", "/invocations", json=ONE_ROW)
    assert (answer.status_code, answer.json()) == (200, {"predictions": ["Water"]})
    assert answer.headers["x-model-version"] == "3"
    [entry] = log._waiting
    assert entry.id == answer.headers["x-request-id"]
    assert entry.columns == {
        "row": [0],
        "input.red": [0.1],
        "input.nir": [0.4],
        "output": ["Water"],
    }
    assert entry.duration_ms > 0


def test_ids(serve: Callable[..., Client]) -> None:
    client = serve()
    given = client.ask("GET", "/ping", headers={"x-request-id": "tile-7.a"})
    assert given.headers["x-request-id"] == "tile-7.a"
    for bad in ("", "a b", "x" * 101, "<script>"):
        made = client.ask("GET", "/ping", headers={"x-request-id": bad}).headers["x-request-id"]
        assert made != bad and len(made) == 32


@pytest.mark.parametrize("path", ["/invocations", "/metrics", "/version", "/", "/nowhere"])
@pytest.mark.parametrize("key", [None, "key", "Bearer", "Bearer other", "Basic a2V5OmtleQ=="])
def test_a_key_is_required(
    serve: Callable[..., Client], log: RequestLog, path: str, key: str | None
) -> None:
    headers = {"authorization": key} if key else {}
    answer = serve().ask("POST", path, json=ONE_ROW, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "SERVING_KEY" in answer.json()["message"]
    assert not log._waiting


def test_probes_need_none(serve: Callable[..., Client]) -> None:
    client = serve()
    assert [client.ask("GET", path, headers={}).status_code for path in ("/ping", "/health")] == [
        200,
        200,
    ]


def test_other_pages(serve: Callable[..., Client]) -> None:
    import mlflow

    client = serve()
    assert client.ask("GET", "/version").text == mlflow.__version__
    about = client.ask("GET", "/").json()
    assert (about["model"], about["version"]) == ("landcover", "3")
    assert [column["name"] for column in about["inputs"]] == ["red", "nir"]
    assert client.ask("GET", "/nowhere").status_code == 404
    wrong = client.ask("GET", "/invocations")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


def test_a_refused_request_is_explained_and_stored(
    serve: Callable[..., Client], log: RequestLog
) -> None:
    answer = serve().ask("POST", "/invocations", json={"inputs": {"red": [0.1]}})
    content = answer.json()
    assert (answer.status_code, content["error_code"]) == (400, "BAD_REQUEST")
    assert content["message"] == "The input lacks the column nir (double)."
    [entry] = log._waiting
    assert (entry.id, entry.error) == (content["request_id"], content["message"])


def chunks(size: int) -> Any:
    async def parts() -> Any:
        for _ in range(size // 100):
            yield b" " * 100

    return parts()


@pytest.mark.parametrize("declared", [True, False])
def test_too_large_a_request(serve: Callable[..., Client], declared: bool) -> None:
    content = b" " * 2000 if declared else chunks(2000)
    answer = serve().ask("POST", "/invocations", content=content)
    assert answer.status_code == 413
    assert "Send fewer rows" in answer.json()["message"]


def test_too_many_requests(serve: Callable[..., Client]) -> None:
    busy, go = threading.Event(), threading.Event()

    def predict(table: pd.DataFrame) -> Any:
        busy.set()
        go.wait(20)
        return ["Water"] * len(table)

    client = serve(predict)
    request: dict[str, Any] = {"headers": KEY, "json": ONE_ROW}

    async def send() -> list[int]:
        transport: Any = httpx.ASGITransport(client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as sender:
            first = [asyncio.create_task(sender.post("/invocations", **request)) for _ in range(2)]
            await asyncio.to_thread(busy.wait, 20)
            refused = await sender.post("/invocations", **request)
            assert refused.headers["retry-after"] == "1"
            go.set()
            return [refused.status_code, *[(await task).status_code for task in first]]

    assert asyncio.run(send()) == [503, 200, 200]


def test_too_long_a_request(serve: Callable[..., Client]) -> None:
    go = threading.Event()
    client = serve(lambda table: go.wait(20), replace(LIMITS, seconds=0.2))
    answer = client.ask("POST", "/invocations", json=ONE_ROW)
    go.set()
    assert (answer.status_code, answer.json()["message"]) == (
        504,
        "The request took more than 0.2 s.",
    )


def test_clients_are_asked_to_connect_again(serve: Callable[..., Client]) -> None:
    client = serve()
    assert "connection" not in client.ask("POST", "/invocations", json=ONE_ROW).headers
    client.app.leaving = True
    answer = client.ask("POST", "/invocations", json=ONE_ROW)
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")


def test_metrics(serve: Callable[..., Client]) -> None:
    client = serve()
    for body in (ONE_ROW, ONE_ROW, {"inputs": {"red": [0.1]}}):
        client.ask("POST", "/invocations", content=json.dumps(body))
    lines = client.ask("GET", "/metrics").text.splitlines()
    assert 'serving_requests_total{status="200"} 2.0' in lines
    assert 'serving_requests_total{status="400"} 1.0' in lines
    assert "serving_rows_total 2.0" in lines
    assert "serving_request_seconds_count 3.0" in lines
    assert "serving_in_progress 0.0" in lines
    assert 'serving_model{name="landcover",version="3"} 1.0' in lines
    assert 'serving_log_rows_total{outcome="stored"} 0.0' in lines


def test_scenes(serve: Callable[..., Client]) -> None:
    client = serve()
    scene = {"href": "s3://bucket/scene.tif"}
    assert client.ask("POST", "/scenes", json=scene).status_code == 503
    assert client.ask("POST", "/scenes", json=scene, headers={}).status_code == 401
    assert client.ask("POST", "/scenes", json={}).status_code == 400
    assert client.ask("POST", "/scenes", content=b" " * (2**20 + 1)).status_code == 413
    assert client.ask("GET", "/scenes/7").status_code == 503
    assert client.ask("GET", "/scenes/a/b").status_code == 404
    assert "serving_scenes_total 0.0" in client.ask("GET", "/metrics").text
