"""Describe products as STAC items, in a collection of files that any STAC client opens.

An item says where a product lies, what its values mean, and what it was made from: the scene, the
model and the commit.
"""

from __future__ import annotations

import datetime as dates
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gaiaflow.stac.folders import folder
from gaiaflow.stac.items import Item

EXTENSIONS = {
    "classification": "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "projection": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "raster": "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
}
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
COLLECTION = "collection.json"
_FOLDER = "items"


def product_item(
    name: str,
    path: str | Path,
    *,
    href: str,
    datetime: str,
    classes: Mapping[str, tuple[int, tuple[int, int, int]]] | None = None,
    made_from: Sequence[str] = (),
    model: str | None = None,
    software: Mapping[str, str] | None = None,
    properties: Mapping[str, Any] | None = None,
) -> Item:
    """Describe a raster as a STAC item.

    Args:
        name: its id; an item of the same id in a collection is replaced.
        path: the file, to read its place and its values' types from.
        href: the address of the file, as seen from the item.
        datetime: when the scene was taken, in RFC 3339.
        classes: name -> (value, color) of a class raster.
        made_from: addresses of the items that it was made from.
        model: URI of the model, such as "models:/landcover/3".
        software: name -> version or commit.
        properties: more of the item's properties.

    Raises:
        ValueError: it has no place on the Earth.
    """
    import rasterio
    from rasterio import warp

    with rasterio.open(path) as dataset:
        if dataset.crs is None or not (dataset.crs.is_geographic or dataset.crs.is_projected):
            raise ValueError(f"{path} has no place on the Earth, so it can't be in a catalog")
        edges = dataset.bounds
        rows, columns = [0, dataset.height], [0, dataset.width]
        outline = [
            dataset.xy(rows[down], columns[right], offset="ul")
            for down, right in ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))
        ]
        geometry = warp.transform_geom(
            dataset.crs, "EPSG:4326", {"type": "Polygon", "coordinates": [outline]}, precision=7
        )
        west, south, east, north = warp.transform_bounds(dataset.crs, "EPSG:4326", *edges)
        bands = [_band(dataset, number) for number in dataset.indexes]
        projection = {
            "proj:shape": list(dataset.shape),
            "proj:transform": list(dataset.transform)[:6],
            "proj:bbox": list(edges),
        }
        code = dataset.crs.to_authority()
        projection |= {"proj:code": ":".join(code)} if code else {"proj:wkt2": dataset.crs.to_wkt()}
    if classes:
        bands[0]["classification:classes"] = [
            {"value": value, "name": _identifier(title), "title": title, "color_hint": _hex(color)}
            for title, (value, color) in classes.items()
        ]
    facts = {
        "datetime": datetime,
        "created": dates.datetime.now(dates.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **({"processing:software": dict(software)} if software else {}),
        **(
            {"processing:lineage": f"Predicted by {model}", "gaiaflow:model": model}
            if model
            else {}
        ),
        **projection,
        **(properties or {}),
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": sorted(EXTENSIONS.values()),
        "id": name,
        "geometry": geometry,
        "bbox": [west, south, east, north],
        "properties": facts,
        "assets": {"map": {"href": href, "type": COG, "roles": ["data"], "bands": bands}},
        "links": [
            {"rel": "derived_from", "href": address, "type": "application/geo+json"}
            for address in made_from
        ],
    }


def write_item(place: str | Path, item: Item) -> str:
    """Put an item into a collection, and return its address. `write_collection` lists it there."""
    parent = {"rel": "collection", "href": f"../{COLLECTION}", "type": "application/json"}
    links = [link for link in item["links"] if link["rel"] != "collection"]
    whole = {**item, "collection": _id(place), "links": [*links, parent]}
    name = f"{_FOLDER}/{item['id']}.json"
    folder(place).write(name, json.dumps(whole, indent=2).encode())
    return f"{place}/{name}"


def write_collection(place: str | Path, description: str) -> int:
    """Write the collection of all items that are there, and return how many they are.

    Items are written by many tasks at a time, the collection by one after them.
    """
    items = folder(f"{place}/{_FOLDER}")
    found: list[Item] = []
    for name in items.names():
        data = items.read(name)
        if data is not None:
            found.append(json.loads(data))
    boxes = [item["bbox"] for item in found] or [[-180, -90, 180, 90]]
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
            {
                "rel": "item",
                "href": f"./{_FOLDER}/{item['id']}.json",
                "type": "application/geo+json",
            }
            for item in found
        ],
    }
    folder(place).write(COLLECTION, json.dumps(collection, indent=2).encode())
    return len(found)


def _band(dataset: Any, number: int) -> dict[str, Any]:
    found: dict[str, Any] = {"data_type": dataset.dtypes[number - 1]}
    nodata = dataset.nodatavals[number - 1]
    if nodata is not None:
        found["nodata"] = "nan" if nodata != nodata else nodata
    if name := dataset.descriptions[number - 1]:
        found["name"] = name
    return found


def _id(place: str | Path) -> str:
    return str(place).rstrip("/").rpartition("/")[2]


def _identifier(title: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in title.lower())


def _hex(color: tuple[int, int, int]) -> str:
    return "{:02X}{:02X}{:02X}".format(*color)
