"""What may be posted as a scene; tests/stack/test_serving.py maps one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gaiaflow.serving.errors import Refused
from gaiaflow.serving.runs import Runs
from gaiaflow.serving.scenes import Scenes, configured

SOURCES = ["https://example.com/cogs/"]
ITEM = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "id": "scene",
    "geometry": None,
    "properties": {"datetime": "2026-06-01T10:30:00Z"},
    "assets": {"red": {"href": "s3://bucket/red.tif"}},
    "links": [{"rel": "self", "href": "file:///etc/passwd"}],
}


class Kept:
    """A store that remembers what was put into it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, content: bytes) -> None:
        self.objects[key] = content


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def scenes(kept: Kept) -> Scenes:
    """Scenes whose Airflow doesn't answer: what gets there was accepted."""
    store: Any = kept
    return Scenes(Runs("http://127.0.0.1:1", "u", "p", "batch"), store, "bucket", "m", SOURCES)


def refusal(scenes: Scenes, body: Any) -> Refused:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Refused) as refused:
        scenes.start(data, "id")
    return refused.value


@pytest.mark.parametrize(
    "address",
    [
        "s3://other/scene.tif",
        "s3://bucket.evil/scene.tif",
        "file:///etc/passwd.tif",
        "/etc/passwd.tif",
        "scene.tif",
        "/vsicurl/http://127.0.0.1/scene.tif",
        "http://127.0.0.1/scene.tif",
        "http://example.com/cogs/scene.tif",
        "https://example.com/private/scene.tif",
        "https://example.com/cogs/../private/scene.tif",
        "https://example.com/cogs/%2e%2e/private/scene.tif",
        "https://example.com.evil/cogs/scene.tif",
        "https://example.com@evil/cogs/scene.tif",
        "https://[/scene.tif",
    ],
)
def test_what_may_not_be_read(scenes: Scenes, address: str) -> None:
    asset = {"href": address}
    for body in (asset, {**ITEM, "assets": {"red": asset}}):
        error = refusal(scenes, body)
        assert error.status == 400 and address in str(error)


@pytest.mark.parametrize(
    "address", ["s3://bucket/a/scene.tif", "https://example.com/cogs/scene.TIF?signature=1"]
)
def test_what_may_be_read(scenes: Scenes, address: str) -> None:
    error = refusal(scenes, {"href": address})
    assert error.status == 503 and "does not answer. Start it: " in str(error)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not a JSON object"),
        (b"\xff", "not a JSON object"),
        ([ITEM], "not a JSON object"),
        ({}, "not a scene"),
        ({"href": 1}, "not a scene"),
        ({"href": "s3://bucket/scene.txt"}, "none of .tif"),
        ({**ITEM, "stac_version": None}, "no `stac_version`"),
        ({**ITEM, "id": ""}, "no `id`"),
        ({name: ITEM[name] for name in ITEM if name != "geometry"}, "no `geometry`"),
        ({**ITEM, "properties": {}}, "no `datetime`"),
        ({**ITEM, "assets": {}}, "no `assets`"),
        ({**ITEM, "assets": {"red": {}}}, "asset red has no `href`"),
    ],
)
def test_what_is_no_scene(scenes: Scenes, body: Any, words: str) -> None:
    error = refusal(scenes, body)
    assert error.status == 400 and words in str(error)


def test_an_item_is_stored_without_what_may_not_be_read(scenes: Scenes, kept: Kept) -> None:
    assets = {**ITEM["assets"], "secret": {"href": "file:///etc/passwd"}}  # type: ignore[dict-item]
    assert refusal(scenes, {**ITEM, "assets": assets}).status == 503
    [(key, data)] = kept.objects.items()
    assert key.startswith("serving/scenes/")
    assert json.loads(data) == {**ITEM, "links": []}


def test_without_airflow(kept: Kept) -> None:
    store: Any = kept
    scenes = configured(store, "m", {"S3_BUCKET": "bucket"})
    error = refusal(scenes, ITEM)
    assert error.status == 503 and "AIRFLOW_URL" in str(error)
    assert not kept.objects
