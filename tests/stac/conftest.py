"""gaiaflow.stac, in the environment of a generated project, as tests/rasters."""

from __future__ import annotations

import datetime
import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("pystac_client") is None:
    collect_ignore_glob = ["test_*.py"]

COUNT = 250


@pytest.fixture(scope="session")
def items() -> list[dict[str, Any]]:
    """Scenes of one place, a day apart; each tenth has few clouds."""
    import pystac

    made = []
    for number in range(COUNT):
        west = 9 + number * 0.01
        item = pystac.Item(
            id=f"scene-{number:04}",
            geometry={
                "type": "Polygon",
                "coordinates": [
                    [[west, 53], [west + 1, 53], [west + 1, 54], [west, 54], [west, 53]]
                ],
            },
            bbox=[west, 53, west + 1, 54],
            datetime=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
            + datetime.timedelta(days=number),
            properties={"eo:cloud_cover": 5 if number % 10 == 0 else 80},
            collection="scenes",
        )
        item.add_asset("red", pystac.Asset(f"https://example.com/{item.id}.tif", roles=["data"]))
        made.append(item.to_dict())
    return made


@pytest.fixture(scope="session")
def api(items: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A STAC API server."""
    program = shutil.which("rustac", path=str(Path(sys.executable).parent))
    assert program
    path = tmp_path_factory.mktemp("api") / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    command = [program, "serve", str(path), "--addr", address, "--create-collections"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    urllib.request.urlopen(f"http://{address}/", timeout=5).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline and server.poll() is None
                    time.sleep(0.05)
            yield f"http://{address}"
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def static(items: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A catalog of files."""
    import pystac

    folder = tmp_path_factory.mktemp("static")
    catalog = pystac.Catalog("static", "Files")
    everywhere: list[list[float | int]] = [[-180, -90, 180, 90]]
    always: list[list[datetime.datetime | None]] = [[None, None]]
    extent = pystac.Extent(pystac.SpatialExtent(everywhere), pystac.TemporalExtent(always))
    scenes = pystac.Collection("scenes", "Scenes", extent)
    catalog.add_child(scenes)
    scenes.add_items(pystac.Item.from_dict(item) for item in items)
    catalog.normalize_and_save(str(folder), pystac.CatalogType.SELF_CONTAINED)
    return str(folder / "catalog.json")
