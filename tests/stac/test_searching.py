"""Searches find the same in an API and in files; what was found stays, also in between."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.transform import from_origin

from gaiaflow.rasters import Grid
from gaiaflow.stac import (
    CatalogError,
    product_item,
    read_items,
    search,
    write_collection,
    write_item,
)
from gaiaflow.stac.items import write_items

CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "all": ({}, range(250)),
    "collection": ({"collections": ["scenes"]}, range(250)),
    "other collection": ({"collections": ["others"]}, []),
    "clouds": ({"max_cloud": 20}, range(0, 250, 10)),
    "month": ({"datetime": "2026-02"}, range(31, 59)),
    "range": ({"datetime": "2026-01-05/2026-01-07"}, range(4, 7)),
    "box": ({"bbox": [8, 53.5, 9.055, 53.6]}, range(6)),
    "nowhere": ({"bbox": [-60, 0, -50, 10]}, []),
    "both": ({"bbox": [8, 53.5, 9.155, 53.6], "max_cloud": 20}, [0, 10]),
}


@pytest.mark.parametrize("kind", ["api", "static"])
@pytest.mark.parametrize(("query", "expected"), CASES.values(), ids=CASES)
def test_what_matches(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, query: Any, expected: Any
) -> None:
    count = search(request.getfixturevalue(kind), tmp_path / "found", **query)
    found = read_items(tmp_path / "found")
    assert sorted(item["id"] for item in found) == [f"scene-{number:04}" for number in expected]
    assert count == len(found)
    left = [path.name for path in (tmp_path / "found").rglob("*") if path.is_file()]
    assert left == ["items.parquet"]


def test_a_collection_is_a_catalog(static: str, tmp_path: Path) -> None:
    collection = Path(static).parent / "scenes" / "collection.json"
    assert search(str(collection), tmp_path, datetime="2026-02") == 28


def test_scenes_without_a_place(tmp_path: Path) -> None:
    """As those of a camera or of a simulation: found by everything but their place."""
    place = tmp_path / "scenes"
    for day in (1, 2):
        grid = Grid(None, Affine(10, 0, 0, 0, -10, 0), 30, 20)
        assets = {"red": {"href": "../red.tif", "bands": [{"name": "red"}]}}
        moment = f"2026-06-0{day}T10:00:00Z"
        write_item(place, product_item(f"day-{day}", grid, datetime=moment, assets=assets))
    write_collection(place, "Scenes")
    catalog = str(place / "collection.json")
    assert search(catalog, tmp_path / "all") == 2
    [found] = [read_items(tmp_path / "all", ["day-2"])[0]]
    assert found["geometry"] is None
    assert search(catalog, tmp_path / "day", datetime="2026-06-02") == 1
    assert search(catalog, tmp_path / "box", bbox=[-180, -90, 180, 90]) == 0


def test_items_are_kept_whole(api: str, items: Any, tmp_path: Path) -> None:
    search(api, tmp_path, max_cloud=20)
    [found] = read_items(tmp_path, ["scene-0010"])
    assert found["properties"]["eo:cloud_cover"] == 5
    assert found["assets"]["red"]["href"] == "https://example.com/scene-0010.tif"
    with pytest.raises(LookupError, match="no item 'scene-0011'"):
        read_items(tmp_path, ["scene-0011"])


def test_no_more_than_wanted(api: str, tmp_path: Path) -> None:
    assert search(api, tmp_path, max_items=7) == 7


class Proxy:
    """Hands requests to an API on, and fails as told."""

    def __init__(self, target: str) -> None:
        self.asked: list[bytes] = []
        self.failures: list[int] = []
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.asked.append(body)
                if self.path.startswith("/search") and proxy.failures:
                    self.send_response(proxy.failures.pop(0))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                headers = {"Content-Type": "application/json"}
                asked = urllib.request.Request(
                    target + self.path, data=body or None, headers=headers, method=self.command
                )
                with urllib.request.urlopen(asked) as answer:
                    text = answer.read().replace(target.encode(), proxy.url.encode())
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = answer

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_a_busy_catalog_is_asked_again(api: str, tmp_path: Path) -> None:
    proxy = Proxy(api)
    proxy.failures = [503, 429]
    assert search(proxy.url, tmp_path, max_cloud=20) == 25
    assert not proxy.failures
    proxy.server.shutdown()


def test_an_interrupted_search_goes_on(
    api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gaiaflow.stac import folders

    write, written = folders._Directory.write, []

    def interrupted(self: Any, name: str, data: bytes) -> None:
        write(self, name, data)
        written.append(name)
        if name == "000001.json":
            raise KeyboardInterrupt

    proxy = Proxy(api)
    with monkeypatch.context() as patch:
        patch.setattr(folders._Directory, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search(proxy.url, tmp_path)
    with pytest.raises(LookupError, match="has not ended"):
        read_items(tmp_path)
    before = len(proxy.asked)
    assert search(proxy.url, tmp_path) == 250
    searches = [json.loads(body) for body in proxy.asked[before:] if body]
    assert len(searches) == 1  # the third page alone
    assert len(read_items(tmp_path)) == 250
    proxy.server.shutdown()


def test_a_search_that_is_interrupted_at_its_end_loses_nothing(
    api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only some of the pages are left: the next try does not take them for all."""
    from gaiaflow.stac import folders

    remove = folders._Directory.remove

    def interrupted(self: Any, name: str) -> None:
        remove(self, name)
        if name == "000000.json":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folders._Directory, "remove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search(api, tmp_path)
    assert search(api, tmp_path) == 250


def test_items_may_differ_in_what_they_say(items: Any, tmp_path: Path) -> None:
    """In a table, each has all fields; as an item, only those that it had."""
    first = {**items[0], "properties": {**items[0]["properties"], "gsd": 10}}
    first["assets"] = {"red": {**items[0]["assets"]["red"], "eo:bands": [{"name": "B04"}]}}
    write_items(tmp_path, [first, items[1]])
    one, other = read_items(tmp_path)
    assert one["assets"]["red"]["eo:bands"] == [{"name": "B04"}]
    assert "eo:bands" not in other["assets"]["red"] and "gsd" not in other["properties"]


@pytest.mark.parametrize(
    ("bbox", "count"),
    [([170, -20, -170, 60], 0), ([170, -20, 9.5, 60], 51), ([8, 53.5, 0, 9.055, 53.6, 99], 6)],
)
def test_boxes_across_the_antimeridian_and_with_heights(
    static: str, tmp_path: Path, bbox: list[float], count: int
) -> None:
    assert search(static, tmp_path, bbox=bbox) == count


def test_no_catalog(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("{}")
    with pytest.raises(CatalogError, match="is not a STAC catalog"):
        search(str(tmp_path / "text.json"), tmp_path)
    with pytest.raises(CatalogError, match="is not there"):
        search(str(tmp_path / "none.json"), tmp_path)


def test_an_item_is_a_catalog_of_one(items: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    path.write_text(json.dumps({**items[1], "links": []}))
    assert search(str(path), tmp_path / "found", max_cloud=20) == 1  # it has 80
    [found] = read_items(tmp_path / "found")
    assert found["id"] == items[1]["id"]
    assert found["links"] == [{"rel": "self", "href": str(path)}]


def test_a_raster_is_a_catalog_of_one(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    place = {"crs": "EPSG:32632", "transform": from_origin(5e5, 5.4e6, 10, 10)}
    size = {"width": 4, "height": 4, "count": 2, "dtype": "uint16"}
    with rasterio.open(path, "w", driver="GTiff", **place, **size) as new:
        new.write(np.full((2, 4, 4), 900, "uint16"))
        new.descriptions = ("B02", "B08")
    assert search(str(path), tmp_path / "found", max_cloud=20) == 1
    [found] = read_items(tmp_path / "found")
    assert found["id"].startswith("scene-")
    assert [band["name"] for band in found["assets"]["scene"]["bands"]] == ["B02", "B08"]
