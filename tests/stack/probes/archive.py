"""Write an archive of scenes as a STAC API serves them, and labels of one. Prints JSON.

Three scenes of different days, 30 km apart, as Sentinel-2 products since baseline 04.00: x 10000 +
1000, clouds in a file of their own. The second one's file ends in the middle.

Usage: archive.py ROOT FOLDER
"""

import json
import sys
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import spyndex
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds, transform_geom
from shapely.geometry import box, mapping

folder = Path(sys.argv[2])
folder.mkdir(parents=True)
reflectance = spyndex.datasets.open("sentinel").values.astype("uint16")
NAMES = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08"}
GRID = {"crs": "EPSG:32632", "driver": "GTiff", "count": 1, "width": 300, "height": 300}
TILES = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}


def asset(name: str, values: np.ndarray, west: float, **facts: object) -> dict:
    path = folder / f"{name}.tif"
    place = from_origin(west, 5.4e6, 10, 10)
    with rasterio.open(path, "w", dtype=values.dtype, transform=place, **GRID, **TILES) as new:
        new.write(values, 1)
    kind = "image/tiff; application=geotiff; profile=cloud-optimized"
    return {"href": str(path), "type": kind, "roles": ["data"], **facts}


items = []
for day in (1, 2, 3):
    west = 5e5 + 30_000 * day
    assets = {}
    for number, (common, name) in enumerate(NAMES.items()):
        band = {"name": name, "eo:common_name": common, "raster:scale": 1e-4}
        band |= {"raster:offset": -0.1, "nodata": 0}
        assets[common] = asset(f"{day}-{name}", reflectance[number] + 1000, west, bands=[band])
    classes = np.full((300, 300), 4, "uint8")
    classes[:100] = 9  # clouds over a third
    assets["scl"] = asset(f"{day}-SCL", classes, west)
    outline = box(west, 5.4e6 - 3000, west + 3000, 5.4e6)
    items.append(
        {
            "type": "Feature",
            "stac_version": "1.1.0",
            "stac_extensions": [],
            "id": f"S2-day-{day}",
            "collection": "scenes",
            "geometry": transform_geom("EPSG:32632", "EPSG:4326", mapping(outline)),
            "bbox": list(transform_bounds("EPSG:32632", "EPSG:4326", *outline.bounds)),
            "properties": {
                "datetime": f"2026-06-0{day}T10:30:00Z",
                "eo:cloud_cover": 33.3,
                "s2:processing_baseline": "05.10",
            },
            "assets": assets,
            "links": [],
        }
    )
broken = folder / "2-B08.tif"
broken.write_bytes(broken.read_bytes()[:60_000])
path = folder / "items.json"
path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))

# Of the first scene, by its spectra; in degrees, as a GPS gives them.
blue, _, red, nir = reflectance / 1e4
green = (nir - red) / (nir + red)
kinds = {"Wood": (green > 0.75) & (nir < 0.3), "Meadow": (green > 0.7) & (nir > 0.35)}
kinds["Bare soil"] = (green < 0.3) & (red > 0.1)
random = np.random.default_rng(0)
shapes = []
for kind, mask in kinds.items():
    rows, columns = np.nonzero(mask)
    for index in random.choice(len(rows), 60, replace=False):
        x, y = 530_000 + 10 * columns[index], 5.4e6 - 10 * rows[index]
        shapes.append((kind, box(x - 10, y - 20, x + 20, y + 10)))
labels = geopandas.GeoDataFrame(
    {"kind": [kind for kind, _ in shapes]}, geometry=[shape for _, shape in shapes], crs=32632
)
labels.to_crs(4326).to_file(folder / "labels.gpkg")
whole = folder / "mine.tif"
with rasterio.open(
    whole,
    "w",
    **{**GRID, "count": 4},
    dtype="uint16",
    transform=from_origin(530_000, 5.4e6, 10, 10),
) as new:
    new.write(reflectance)
    new.descriptions = tuple(NAMES.values())
print(json.dumps({"items": str(path), "bbox": [item["bbox"] for item in items]}))
