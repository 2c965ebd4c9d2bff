"""Describe products as STAC items, in a collection of files that any STAC client opens.

An item says where a product lies, what its values mean, and what it was made from: the scene, the
model and the commit.
"""

from __future__ import annotations

import datetime as dates
import hashlib
import json
import os
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gaiaflow import __version__
from gaiaflow.project import variables
from gaiaflow.rasters import Grid, LazyRaster, open_raster
from gaiaflow.stac.folders import Folder, folder
from gaiaflow.stac.items import Item

EXTENSIONS = {
    "classification": "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "eo": "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "projection": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "raster": "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
}
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
COLLECTION = "collection.json"
_FOLDER = "items"
_TRIES = 5  # what is added even then will be listed by those that add it

# The value and the color (RGB, 0..255) of each class, by its title.
Classes = Mapping[str, tuple[int, tuple[int, int, int]]]


def product_item(
    name: str,
    grid: Grid,
    *,
    datetime: str,
    assets: Mapping[str, Mapping[str, Any]],
    made_from: Sequence[str] = (),
    model: str | None = None,
    software: Mapping[str, str] | None = None,
    properties: Mapping[str, Any] | None = None,
) -> Item:
    """Describe a product as a STAC item.

    Args:
        name: its id; an item of the same id in a collection is replaced.
        grid: of its rasters. Without a place on the Earth, the item has no geometry.
        datetime: when the scene was taken, in RFC 3339.
        assets: as `class_asset` and `raster_assets` describe them, or your own.
        made_from: addresses of the items that it was made from.
        model: URI of the model, such as "models:/landcover/3".
        software: more names and versions than Gaiaflow's, and the commit of the project's code.
        properties: more of the item's properties.
    """
    facts: dict[str, Any] = {
        "datetime": datetime,
        "created": dates.datetime.now(dates.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "proj:shape": [grid.rows, grid.columns],
        "proj:transform": list(grid.transform)[:6],
        "proj:bbox": list(grid.bounds),
    }
    facts["processing:software"] = {**software_in_use(), **(software or {})}
    facts |= _task()
    if model:
        facts |= {"processing:lineage": f"Predicted by {model}", "gaiaflow:model": model}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": sorted(EXTENSIONS.values()),
        "id": name,
        **_place(grid),
        "properties": {**facts, **_reference_system(grid), **(properties or {})},
        "assets": {key: dict(asset) for key, asset in assets.items()},
        "links": [
            {"rel": "derived_from", "href": address, "type": "application/geo+json"}
            for address in made_from
        ],
    }


def raster_item(address: str) -> Item:
    """Describe a raster that has no item, as a scene of now: files don't say when it was taken.

    Raises:
        RasterError: it can't be read.
    """
    raster = open_raster(address)
    stem = posixpath.splitext(posixpath.basename(address))[0]
    digest = hashlib.sha256(address.encode()).hexdigest()[:8]  # other folders have such a name, too
    now = dates.datetime.now(dates.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return product_item(f"{stem}-{digest}", raster.grid, datetime=now, assets=raster_assets(raster))


def class_asset(
    href: str, classes: Classes, counts: Mapping[int, int] | None = None, nodata: int = 0
) -> dict[str, Any]:
    """Describe a class raster of bytes, such as `apply` writes.

    Args:
        href: its address; a relative one starts at the item.
        counts: how many pixels have each value; without nodata.
    """
    described = classes_of_band(classes)
    total = sum((counts or {}).values())
    for entry in described if total else []:
        entry["percentage"] = round(100 * (counts or {}).get(entry["value"], 0) / total, 4)
    band = {"data_type": "uint8", "nodata": nodata, "classification:classes": described}
    return {"href": href, "type": COG, "roles": ["data"], "bands": [band]}


def classes_of_band(classes: Classes) -> list[dict[str, Any]]:
    """Classes as STAC's classification extension lists them."""
    return [
        {
            "value": value,
            "name": "".join(letter if letter.isalnum() else "_" for letter in title.lower()),
            "title": title,
            "color_hint": "{:02X}{:02X}{:02X}".format(*color),
        }
        for title, (value, color) in classes.items()
    ]


def raster_assets(
    raster: LazyRaster, common_names: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """Describe the files of a raster, so that clients can show what a product was made from.

    Args:
        common_names: STAC's name, such as "red", for names of bands.
    """
    bands: dict[str, dict[int, dict[str, Any]]] = {}  # by address, and number in the file
    for layer in raster.layers:
        encoding = layer.encoding
        for index, (name, number) in enumerate(encoding.bands.items()):
            band: dict[str, Any] = {"name": name, "raster:scale": encoding.scales[index]}
            band["raster:offset"] = encoding.offsets[index]
            if (nodata := encoding.nodata[index]) is not None:
                band["nodata"] = "nan" if nodata != nodata else nodata
            if name in (common_names or {}):
                band["eo:common_name"] = (common_names or {})[name]
            bands.setdefault(str(layer.source), {})[number] = band
    assets: dict[str, dict[str, Any]] = {}
    for address, known in bands.items():
        key = next(iter(known.values()))["name"] if len(known) == 1 else "scene"
        listed = [known.get(number, {}) for number in range(1, max(known) + 1)]
        assets[key] = {"href": address, "roles": ["reflectance"], "bands": listed}
    return assets


def write_item(place: str | Path, item: Item) -> str:
    """Put an item into a collection, and return its address. `write_collection` lists it there."""
    parent = {"rel": "collection", "href": f"../{COLLECTION}", "type": "application/json"}
    links = [link for link in item["links"] if link["rel"] != "collection"]
    whole = {**item, "collection": _id(place), "links": [*links, parent]}
    folder(place).write(_file(item["id"]), json.dumps(whole, indent=2).encode())
    return f"{place}/{_file(item['id'])}"


def collection_items(place: str | Path) -> list[Item]:
    """All items that were written into a collection, listed there already or not."""
    items = folder(f"{place}/{_FOLDER}")
    found = (items.read(name) for name in items.names())
    return [json.loads(data) for data in found if data is not None]


def remove_item(place: str | Path, item: Item) -> None:
    """Remove an item from a collection, and its files that lie in the collection's folder."""
    files: Folder = folder(place)
    for asset in item["assets"].values():
        name = posixpath.normpath(f"{_FOLDER}/{asset['href']}")
        if "://" not in asset["href"] and not name.startswith(("..", "/")):
            files.remove(name)
    files.remove(_file(item["id"]))  # last: until then, something names the files


def write_collection(
    place: str | Path, description: str, items: Iterable[Item] | None = None
) -> None:
    """Write the collection that lists these items, or by default all that lie in its folder.

    Items are written by many tasks at a time, the collection by one after them. If several
    pipelines do so at the same moment, the collection ends up with the items of all, by default.
    """
    if items is not None:
        _list_items(place, description, items)
        return
    found = folder(f"{place}/{_FOLDER}")
    for _ in range(_TRIES):
        names = found.names()
        _list_items(place, description, collection_items(place))
        if found.names() == names:
            return  # whoever wrote in between knew no more than this


def _list_items(place: str | Path, description: str, items: Iterable[Item]) -> None:
    found = list(items)
    boxes = [item["bbox"] for item in found if "bbox" in item] or [[-180, -90, 180, 90]]
    times = sorted(item["properties"]["datetime"] for item in found) or [None]
    around = [min(box[0] for box in boxes), min(box[1] for box in boxes)]
    around += [max(box[2] for box in boxes), max(box[3] for box in boxes)]
    collection = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": _id(place),
        "description": description,
        "license": "other",
        "extent": {
            "spatial": {"bbox": [around]},
            "temporal": {"interval": [[times[0], times[-1]]]},
        },
        "links": [
            {"rel": "item", "href": f"./{_file(item['id'])}", "type": "application/geo+json"}
            for item in found
        ],
    }
    folder(place).write(COLLECTION, json.dumps(collection, indent=2).encode())


def software_in_use() -> dict[str, str]:
    """Names and versions for `processing:software`."""
    commit = os.environ.get(variables.COMMIT)  # set for tasks
    return {"gaiaflow": __version__, **({"commit": commit} if commit else {})}


def _task() -> dict[str, Any]:
    """The DAG run whose task makes the product, and whether its code differs from the commit."""
    tags: dict[str, str] = json.loads(os.environ.get("MLFLOW_RUN_CONTEXT") or "{}")
    known = {"gaiaflow:dag_id": "airflow.dag_id", "gaiaflow:dag_run_id": "airflow.run_id"}
    facts: dict[str, Any] = {name: tags[tag] for name, tag in known.items() if tag in tags}
    if dirty := os.environ.get(variables.DIRTY):
        facts["gaiaflow:dirty"] = dirty == "true"
    return facts


def _place(grid: Grid) -> dict[str, Any]:
    """The outline in degrees and its bounding box; no geometry without a place on the Earth."""
    from rasterio import warp

    if not grid.has_place:
        return {"geometry": None}
    outline = [*grid.corners, grid.corners[0]]
    geometry = warp.transform_geom(
        grid.crs, "EPSG:4326", {"type": "Polygon", "coordinates": [outline]}, precision=7
    )
    bounds = warp.transform_bounds(grid.crs, "EPSG:4326", *grid.bounds)
    return {"geometry": geometry, "bbox": list(bounds)}


def _reference_system(grid: Grid) -> dict[str, Any]:
    if grid.crs is None:
        return {"proj:code": None}
    if code := grid.crs.to_authority():
        return {"proj:code": ":".join(code)}
    return {"proj:code": None, "proj:wkt2": grid.crs.to_wkt(version="WKT2_2019")}


def _file(name: str) -> str:
    safe = re.sub(r"[^\w.-]", "_", name)
    return f"{_FOLDER}/{safe}.json"


def _id(place: str | Path) -> str:
    return str(place).rstrip("/").rpartition("/")[2]
