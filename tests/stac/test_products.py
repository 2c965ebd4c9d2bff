"""Products are described as STAC says, by what their files hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaiaflow.stac import product_item, write_collection, write_item

CLASSES = {"Water": (3, (52, 112, 178)), "Bare soil": (1, (201, 94, 72))}


@pytest.fixture
def product(tmp_path: Path) -> Path:
    import rasterio
    from rasterio.transform import from_origin

    path = tmp_path / "map.tif"
    profile = {"driver": "GTiff", "height": 30, "width": 20, "count": 1, "dtype": "uint8"}
    place = {"crs": "EPSG:32632", "transform": from_origin(5e5, 5.4e6, 10, 10), "nodata": 0}
    with rasterio.open(path, "w", **profile, **place) as dataset:
        dataset.write(np.ones((1, 30, 20), "uint8"))
        dataset.descriptions = ("land cover",)
    return path


def described(product: Path, name: str, **options: Any) -> dict[str, Any]:
    given = {"href": f"../maps/{name}.tif", "datetime": "2026-06-01T10:00:00Z", "classes": CLASSES}
    given |= {"made_from": ["https://example.com/s2.json"], "model": "models:/landcover/3"}
    return product_item(name, product, **{**given, **options})


def test_an_item_is_valid_and_true(product: Path) -> None:
    import pystac
    from pystac.validation import stac_validator

    found = described(product, "s2-map", software={"gaiaflow": "0.6.0"})
    item = pystac.Item.from_dict(found)
    validator = stac_validator.JsonSchemaSTACValidator()
    # The schemas of extensions are on the web; those of the core are in the package.
    validator.validate_core(found, pystac.STACObjectType.ITEM, "1.1.0")
    assert item.ext.proj.code == "EPSG:32632"
    assert found["properties"]["proj:shape"] == [30, 20]
    west, south, east, north = found["bbox"]
    assert (west, north) == pytest.approx((9.0, 48.7528), abs=1e-3)
    assert east - west == pytest.approx(0.0027, abs=2e-4)
    assert north - south == pytest.approx(0.0027, abs=2e-4)
    [band] = found["assets"]["map"]["bands"]
    assert (band["name"], band["data_type"], band["nodata"]) == ("land cover", "uint8", 0)
    colors = {entry["title"]: entry["color_hint"] for entry in band["classification:classes"]}
    assert colors == {"Water": "3470B2", "Bare soil": "C95E48"}


def test_a_product_without_a_place_is_refused(product: Path) -> None:
    import rasterio

    with rasterio.open(product, "r+") as dataset:
        dataset.crs = 'LOCAL_CS["Scene grid",UNIT["metre",1]]'
    with pytest.raises(ValueError, match="has no place on the Earth"):
        described(product, "nowhere")


def test_a_collection_of_items(product: Path, tmp_path: Path) -> None:
    import pystac

    place = tmp_path / "landcover"
    for day in (3, 1, 2):
        moment = f"2026-06-0{day}T10:00:00Z"
        write_item(place, described(product, f"map-{day}", datetime=moment))
    write_item(place, described(product, "map-2", datetime="2026-06-09T10:00:00Z"))
    assert write_collection(place, "Land cover") == 3
    collection = pystac.Collection.from_file(str(place / "collection.json"))
    assert collection.id == "landcover"
    items = list(collection.get_items())
    assert sorted(item.id for item in items) == ["map-1", "map-2", "map-3"]
    assert all(item.get_collection().id == "landcover" for item in items)
    [interval] = json.loads((place / "collection.json").read_text())["extent"]["temporal"][
        "interval"
    ]
    assert interval == ["2026-06-01T10:00:00Z", "2026-06-09T10:00:00Z"]
    assert Path(items[0].assets["map"].get_absolute_href()).parent.name == "maps"
