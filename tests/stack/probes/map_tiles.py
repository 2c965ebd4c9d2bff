"""Read tiles as a notebook would, by their addresses. Prints what they show at some places.

Usage: map_tiles.py ROOT
"""

import json
import math
import os
import urllib.request

import numpy as np
import rasterio
from rasterio.io import MemoryFile
from rasterio.warp import transform

import gaiaflow
from gaiaflow.maps import page_url, tile_url

gaiaflow.connect()
ITEM, ZOOM = ("cut-out", "cut-out-2020-01-10"), 14
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def tile(x: int, y: int, layer: str, item: tuple[str, str] = ITEM, zoom: int = ZOOM) -> np.ndarray:
    address = tile_url(*item, layer).format(x=x, y=y, z=zoom)
    with opener.open(address, timeout=60) as answer:
        content = answer.read()
    with MemoryFile(content) as memory, memory.open() as dataset:
        return dataset.read()


def pixel_of(lon: float, lat: float) -> tuple[int, int, int, int]:
    """A tile of the Web Mercator grid, and a column and row in it."""
    size = 2**ZOOM
    x = (lon + 180) / 360 * size
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * size
    return int(x), int(y), int(x % 1 * 256), int(y % 1 * 256)


BUCKET = os.environ["S3_BUCKET"]
found = []
with rasterio.open(f"s3://{BUCKET}/maps/{ITEM[1]}/map.tif") as dataset:
    classes = dataset.read(1)
    for row, column in ((20, 20), (100, 150), (60, 250), (180, 40), (150, 280)):
        around = classes[row - 2 : row + 3, column - 2 : column + 3]
        (lon,), (lat,) = transform(
            dataset.crs, "EPSG:4326", *([v] for v in dataset.xy(row, column))
        )
        x, y, right, down = pixel_of(lon, lat)
        color = tile(x, y, "map")[:3, down, right].tolist()
        found.append({"lon": lon, "lat": lat, "color": color, "around": around.ravel().tolist()})
plain = {layer: tile(0, 0, layer, ("plain", "sample"), 1) for layer in ("map", "true-color")}
with rasterio.open(f"s3://{BUCKET}/maps/sample/map.tif") as dataset:
    stored = dataset.read(1)[:256, :256]
colors = {
    str(value): sorted({tuple(map(int, color)) for color in plain["map"][:3, stored == value].T})
    for value in np.unique(stored)
}
print(
    json.dumps(
        {
            "places": found,
            "plain": colors,
            "greens": float(plain["true-color"][1].mean()),
            "page": page_url(*ITEM),
        }
    )
)
