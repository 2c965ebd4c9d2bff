"""Put collections for the map into the object store, as JSON written by hand. Prints their items.

Usage: map_items.py ROOT FOLDER [turned]

FOLDER has the package xrspatial, with a real Sentinel-2 cut-out that lies on the Earth. "turned":
the classes of the sample scene are others.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import boto3
import numpy as np
import spyndex
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.transform import from_origin
from rasterio.warp import transform_geom
from scipy.io import netcdf_file

import gaiaflow

gaiaflow.connect()
BUCKET = os.environ["S3_BUCKET"]
STORE = boto3.client("s3")
CUT_OUT = Path(sys.argv[2], "xrspatial", "datasets", "sentinel-2")
COLORS = ("blue", "green", "red", "nir")
CLASSES = [
    {"value": 1, "name": "bright", "title": "Bright ground", "color_hint": "E0B060"},
    {"value": 2, "name": "dark", "title": "Dark ground", "color_hint": "7A4A2A"},
    {"value": 3, "name": "green", "title": "Green", "color_hint": "2E8B57"},
]
POINTER = b"""<VRTDataset rasterXSize="1" rasterYSize="1">
<VRTRasterBand dataType="Byte" band="1"><SimpleSource>
<SourceFilename>/etc/secret.tif</SourceFilename><SourceBand>1</SourceBand>
</SimpleSource></VRTRasterBand></VRTDataset>"""


def put(key: str, content: bytes) -> None:
    STORE.put_object(Bucket=BUCKET, Key=key, Body=content)


def cog(values: np.ndarray, nodata: int, **place: object) -> bytes:
    """A Cloud-Optimized GeoTIFF, tiled so small that it has overviews."""
    bands, height, width = values.shape
    profile = {"driver": "GTiff", "count": bands, "height": height, "width": width}
    resampling = "nearest" if values.dtype == np.uint8 else "average"
    options = {"driver": "COG", "blocksize": 128, "overview_resampling": resampling}
    with MemoryFile() as memory, tempfile.TemporaryDirectory() as folder:
        with memory.open(**profile, dtype=values.dtype, nodata=nodata, **place) as dataset:
            dataset.write(values)
        with memory.open() as dataset:
            copy(dataset, f"{folder}/cog.tif", compress="deflate", **options)
        return Path(folder, "cog.tif").read_bytes()


def classify(scene: np.ndarray) -> np.ndarray:
    blue, _, red, nir = scene[:4].astype(float)
    classes = np.where(blue > np.median(blue), 1, 2)
    classes[nir > 1.8 * red] = 3
    return classes.astype(np.uint8)


def band(color: str) -> dict[str, object]:
    about = {"name": color, "eo:common_name": color, "data_type": "uint16", "nodata": 0}
    return {**about, "raster:scale": 1e-4, "raster:offset": 0}


def item(id_: str, date: str, geometry: object, assets: dict[str, object]) -> dict[str, object]:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": id_,
        "geometry": geometry,
        "properties": {"datetime": date, "gaiaflow:model": "models:/landcover/3"},
        "assets": assets,
        "links": [],
    }


def class_asset(href: str, classes: np.ndarray) -> dict[str, object]:
    total = int((classes > 0).sum())
    shares = [
        {**found, "percentage": round(100 * int((classes == found["value"]).sum()) / total, 2)}
        for found in CLASSES
    ]
    about = {"data_type": "uint8", "nodata": 0, "classification:classes": shares}
    return {"href": href, "title": "Land cover", "bands": [about]}


def collection(name: str, title: str, items: list[dict[str, object]]) -> None:
    links = [{"rel": "item", "href": f"./items/{found['id']}.json"} for found in items]
    for found in items:
        put(f"products/{name}/items/{found['id']}.json", json.dumps(found).encode())
    content = {"type": "Collection", "id": name, "description": title, "links": links}
    put(f"products/{name}/collection.json", json.dumps(content).encode())


def on_earth() -> None:
    """Two dates: a file with all bands, and darker a file for each."""
    read = [netcdf_file(CUT_OUT / f"{color}_band.nc", mmap=False) for color in COLORS]
    scene = np.stack([data.variables["__xarray_dataarray_variable__"].data for data in read])
    x, y = (read[0].variables[name].data for name in ("x", "y"))
    place = {"crs": "EPSG:32719", "transform": from_origin(x[0] - 5, y[0] + 5, 10, 10)}
    outline = transform_geom(
        place["crs"],
        "EPSG:4326",
        {
            "type": "Polygon",
            "coordinates": [
                [(x[0], y[0]), (x[-1], y[0]), (x[-1], y[-1]), (x[0], y[-1]), (x[0], y[0])]
            ],
        },
    )
    made = []
    for number, date in enumerate(("2020-01-10", "2020-06-10")):
        seen = (scene * (1, 0.7)[number]).round().astype(np.uint16)
        classes = classify(seen)
        id_ = f"cut-out-{date}"
        put(f"maps/{id_}/map.tif", cog(classes[None], 0, **place))
        assets = {"map": class_asset(f"../../../maps/{id_}/map.tif", classes)}
        if number == 0:
            put(f"maps/{id_}/scene.tif", cog(seen, 0, **place))
            bands = [band(color) for color in COLORS]
            assets["scene"] = {"href": f"s3://{BUCKET}/maps/{id_}/scene.tif", "bands": bands}
        else:
            for index, color in enumerate(COLORS):
                put(f"maps/{id_}/{color}.tif", cog(seen[index : index + 1], 0, **place))
                href = f"../../../maps/{id_}/{color}.tif"
                assets[color] = {"href": href, "bands": [band(color)]}
        made.append(item(id_, f"{date}T14:50:00Z", outline, assets))
    collection("cut-out", "A cut-out of Sentinel-2", made)


def plain() -> None:
    """The sample scene, which does not say where it lies."""
    scene = spyndex.datasets.open("sentinel").values.astype(np.uint16)
    classes = classify(scene)
    if "turned" in sys.argv:
        classes = (classes % 3 + 1).astype(np.uint8)
    put("maps/sample/map.tif", cog(classes[None], 0))
    put("maps/sample/scene.tif", cog(scene, 0))
    assets = {
        "map": class_asset("../../../maps/sample/map.tif", classes),
        "scene": {
            "href": "../../../maps/sample/scene.tif",
            "bands": [band(color) for color in COLORS],
        },
    }
    collection("plain", "The sample scene", [item("sample", "2024-01-01T00:00:00Z", None, assets)])


def broken() -> None:
    """Files that are gone, may not be read, or can't be reached; an item that is not JSON."""
    square = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}
    gone = class_asset("../../../maps/gone.tif", np.ones((1, 1)))
    secret = {"href": "file:///etc/passwd", "bands": [band("red")]}
    found = item("gone", "2024-01-01T00:00:00Z", square, {"map": gone, "red": secret})
    pointer, unsigned, odd = (
        item(id_, "2024-01-01T00:00:00Z", square, {}) for id_ in ("pointer", "unsigned", "odd")
    )
    put("maps/pointer.vrt", POINTER)
    pointer["assets"] = {"map": class_asset("../../../maps/pointer.vrt", np.ones((1, 1)))}
    azure = "https://gaiaflow-test.invalid.blob.core.windows.net/data/map.tif"
    unsigned["assets"] = {"map": class_asset(azure, np.ones((1, 1)))}
    collection("broken", "What went wrong", [found, pointer, unsigned, odd])
    put("products/broken/items/odd.json", b"not JSON")


on_earth()
plain()
broken()
print(json.dumps({"cut-out": 2, "plain": 1, "broken": 4}))
