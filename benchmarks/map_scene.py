"""Put a scene, its classes and their item into the store, in the project's environment.

    map_scene.py COLLECTION ITEM

Prints tiles inside of the scene, in an order without neighbors, as JSON.
"""

import json
import math
import os
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3
import numpy as np
import rasterio
import spyndex
from rasterio.shutil import copy
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

COLLECTION, ITEM = sys.argv[1:]
SIZE, ZOOMS = 6000, (12, 13, 14)
PLACE = {"crs": "EPSG:32632", "transform": from_origin(5e5, 5.4e6, 10, 10)}
COLORS = ("blue", "green", "red", "nir")
store, bucket = boto3.client("s3"), os.environ["S3_BUCKET"]


def put(name: str, values: np.ndarray, nodata: int, overviews: str) -> None:
    """Upload a Cloud-Optimized GeoTIFF."""
    bands, height, width = values.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": values.dtype}
    with TemporaryDirectory() as folder:
        first, cog = Path(folder, "a.tif"), Path(folder, "b.tif")
        with rasterio.open(first, "w", driver="GTiff", nodata=nodata, **shape, **PLACE) as dataset:
            dataset.write(values)
        copy(first, cog, driver="COG", compress="deflate", overview_resampling=overviews)
        store.upload_file(str(cog), bucket, f"maps/benchmark/{name}")


sample = spyndex.datasets.open("sentinel").values.astype(np.uint16)
scene = np.tile(sample, (1, SIZE // 300, SIZE // 300))
scene += np.random.default_rng(0).integers(0, 16, scene.shape, dtype=np.uint16)
put("scene.tif", scene, 0, "average")
put("map.tif", np.digitize(scene[3], (1500, 2000, 2500)).astype(np.uint8)[None] + 1, 0, "mode")

bounds = (5e5, 5.4e6 - SIZE * 10, 5e5 + SIZE * 10, 5.4e6)
west, south, east, north = transform_bounds("EPSG:32632", "EPSG:4326", *bounds)
corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
bands = [
    {"name": color, "eo:common_name": color, "data_type": "uint16", "raster:scale": 1e-4}
    for color in COLORS
]
classes = [{"value": n, "name": f"class_{n}"} for n in range(1, 5)]
item = {
    "type": "Feature",
    "id": ITEM,
    "geometry": {"type": "Polygon", "coordinates": [corners]},
    "properties": {"datetime": "2026-01-01T00:00:00Z"},
    "assets": {
        "map": {"href": "../../../maps/benchmark/map.tif", "classification:classes": classes},
        "scene": {"href": "../../../maps/benchmark/scene.tif", "bands": bands},
    },
}
links = [{"rel": "item", "href": f"./items/{ITEM}.json"}]
for name, content in {
    f"items/{ITEM}.json": item,
    "collection.json": {"type": "Collection", "id": COLLECTION, "links": links},
}.items():
    body = json.dumps(content).encode()
    store.put_object(Bucket=bucket, Key=f"products/{COLLECTION}/{name}", Body=body)


def tile_of(lon: float, lat: float, zoom: int) -> tuple[int, int]:
    """The tile of the Web Mercator grid at a place."""
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2
    return int((lon + 180) / 360 * 2**zoom), int(y * 2**zoom)


tiles = []
for zoom in ZOOMS:
    (left, top), (right, bottom) = tile_of(west, north, zoom), tile_of(east, south, zoom)
    inside = [(zoom, x, y) for x in range(left + 1, right) for y in range(top + 1, bottom)]
    tiles += inside
random.Random(0).shuffle(tiles)
print(json.dumps(tiles))
