"""A search for 1,000 STAC items, against pystac-client alone, on a server of this machine."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from plumbum import local

from benchmarks.common import CannotMeasure, Goal, Row, interleaved
from benchmarks.workshop import Workshop

ITEMS = 1000
ASSETS = 15  # of an item: as many as one of Sentinel-2 has
START_LIMIT = 30.0  # seconds

# Both in a fresh process, without what imports take; the table is a part of ours.
_OURS = """
import sys, time
import pystac_client, pyarrow, shapely.geometry, stac_geoparquet.arrow
from gaiaflow.stac import search
begun = time.monotonic()
found = search(
    sys.argv[1], sys.argv[2], collections=["scenes"], bbox=(0, 40, 30, 60), datetime="2026"
)
print(found, time.monotonic() - begun)
"""
_CLIENT = """
import sys, time
import pystac_client
begun = time.monotonic()
client = pystac_client.Client.open(sys.argv[1])
found = client.search(
    collections=["scenes"], bbox=(0, 40, 30, 60), datetime="2026", limit=100
)
print(len({how}), time.monotonic() - begun)
"""
_ITEMS = "found.item_collection()"  # as its documentation does
_PAGES = "[item for page in found.pages_as_dicts() for item in page['features']]"


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Search in turn, each time in a new process and for a new folder."""
    folder = workshop.root / "stac"
    folder.mkdir()
    python = str(workshop.project / ".venv" / "bin" / "python")
    server = workshop.environment("stac-server", "rustac") / "bin" / "rustac"
    with _server(server, folder) as address:

        def took(code: str) -> float:
            env = {"PYTHONPATH": str(workshop.project)}
            place = str(folder / f"found-{time.monotonic_ns()}")
            count, seconds = local[python]("-c", code, address, place, env=env).split()
            if int(count) != ITEMS:
                raise CannotMeasure(f"the search found {count} of {ITEMS} items")
            return float(seconds)

        actions = {
            "ours": partial(took, _OURS),
            "items": partial(took, _CLIENT.format(how=_ITEMS)),
            "pages": partial(took, _CLIENT.format(how=_PAGES)),
        }
        measured = interleaved(actions, max(repeat, 5), "stac")
    name, ours, goal = f"a table of {ITEMS} items", measured["ours"], Goal("ratio", 1.3)
    return [
        Row(name, ours, measured["items"], "pystac-client", goal=goal),
        Row(name, ours, measured["pages"], "its pages as they come"),
    ]


@contextlib.contextmanager
def _server(program: Path, folder: Path) -> Iterator[str]:
    """A STAC API over items that look like those of Sentinel-2."""
    items = folder / "items.json"
    features = [_item(number) for number in range(ITEMS)]
    items.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = local[str(program)]["serve", str(items), "--addr", address, "--create-collections"]
    server = command.popen(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_LIMIT
        while not _answers(address):
            if server.poll() is not None or time.monotonic() > deadline:
                raise CannotMeasure("`rustac serve` does not come up")
            time.sleep(0.1)
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait()


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{address}/", timeout=5).close()
    except OSError:
        return False
    return True


def _item(number: int) -> dict[str, object]:
    west, south = number % 25, 45 + number // 25 * 0.1
    east, north = west + 1, south + 1
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    base = f"https://example.com/scene-{number:04}"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"scene-{number:04}",
        "collection": "scenes",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}T10:00:00Z",
            "eo:cloud_cover": number % 100,
            "proj:epsg": 32632,
            "s2:processing_baseline": "05.11",
        },
        "links": [],
        "assets": {
            f"B{band:02}": {
                "href": f"{base}/B{band:02}.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data", "reflectance"],
                "proj:shape": [10980, 10980],
                "proj:transform": [10, 0, 5e5, 0, -10, 5.4e6],
            }
            for band in range(1, ASSETS + 1)
        },
    }
