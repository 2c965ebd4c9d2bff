"""Products are described as STAC says, by what their files hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import from_origin

import gaiaflow
from gaiaflow.rasters import Grid, open_item, open_raster
from gaiaflow.stac import (
    class_asset,
    collection_items,
    model_item,
    product_item,
    products,
    raster_assets,
    remove_item,
    write_collection,
    write_item,
)

CLASSES = {"Water": (3, (52, 112, 178)), "Bare soil": (1, (201, 94, 72))}


UTM = Grid(CRS.from_epsg(32632), from_origin(5e5, 5.4e6, 10, 10), 30, 20)
COUNTS = {1: 150, 3: 450}


def described(name: str, grid: Grid = UTM, **options: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"datetime": "2026-06-01T10:00:00Z", "model": "models:/landcover/3"}
    given |= {"assets": {"map": class_asset(f"../{name}/map.tif", CLASSES, COUNTS)}}
    given |= {"made_from": ["https://example.com/s2.json"]}
    return product_item(name, grid, **{**given, **options})


def validated(item: dict[str, Any]) -> Any:
    """Held against the schemas of the core, which pystac has; those of extensions are remote."""
    import pystac
    from pystac.validation import stac_validator

    validator = stac_validator.JsonSchemaSTACValidator()
    validator.validate_core(item, pystac.STACObjectType.ITEM, "1.1.0")
    return pystac.Item.from_dict(item)


def test_an_item_is_valid_and_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIAFLOW_COMMIT", "c0ffee")
    monkeypatch.setenv("GAIAFLOW_DIRTY", "true")
    tags = {"airflow.dag_id": "landcover", "airflow.run_id": "manual__1"}
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", json.dumps(tags))
    found = described("s2-map", software={"mlflow": "3.17.2"})
    item = validated(found)
    software = {"gaiaflow": gaiaflow.__version__, "commit": "c0ffee", "mlflow": "3.17.2"}
    facts = found["properties"]
    assert facts["processing:software"] == software
    assert (facts["gaiaflow:dag_id"], facts["gaiaflow:dag_run_id"]) == ("landcover", "manual__1")
    assert facts["gaiaflow:dirty"] is True
    assert item.ext.proj.code == "EPSG:32632"
    assert found["properties"]["proj:shape"] == [30, 20]
    west, south, east, north = found["bbox"]
    assert (west, north) == pytest.approx((9.0, 48.7528), abs=1e-3)
    assert east - west == pytest.approx(0.0027, abs=2e-4)
    assert north - south == pytest.approx(0.0027, abs=2e-4)
    [band] = found["assets"]["map"]["bands"]
    assert (band["data_type"], band["nodata"]) == ("uint8", 0)
    classes = {entry["title"]: entry for entry in band["classification:classes"]}
    assert {title: entry["color_hint"] for title, entry in classes.items()} == {
        "Water": "3470B2",
        "Bare soil": "C95E48",
    }
    assert {title: entry["percentage"] for title, entry in classes.items()} == {
        "Water": 75,
        "Bare soil": 25,
    }


@pytest.mark.parametrize("crs", [None, 'LOCAL_CS["Scene grid",UNIT["metre",1]]'])
def test_a_product_without_a_place_has_no_geometry(crs: str | None) -> None:
    known = CRS.from_wkt(crs) if crs else None
    found = described("nowhere", Grid(known, UTM.transform, 30, 20))
    validated(found)
    assert found["geometry"] is None and "bbox" not in found
    assert ("proj:wkt2" in found["properties"]) == bool(crs)


def test_the_bands_of_a_scene(tmp_path: Path) -> None:
    import rasterio

    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "height": 30, "width": 20, "count": 3, "dtype": "int16"}
    with rasterio.open(path, "w", crs=UTM.crs, transform=UTM.transform, **profile) as new:
        new.descriptions = ("SCL", "B08", "B04")
        new.scales, new.nodata = (1e-4,) * 3, -32768
    with open_raster(path, ["B04", "B08"]) as raster:
        [(key, asset)] = raster_assets(raster, {"B04": "red", "B08": "nir"}).items()
    assert (key, asset["href"]) == ("scene", str(path))
    nothing, nir, red = asset["bands"]
    assert nothing == {}
    assert (nir["name"], nir["eo:common_name"], red["eo:common_name"]) == ("B08", "nir", "red")
    assert (red["raster:scale"], red["raster:offset"], red["nodata"]) == (1e-4, 0, -32768)


def test_bands_of_one_file_are_one_asset(tmp_path: Path) -> None:
    """Also if an item names them one by one."""
    import rasterio

    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "height": 30, "width": 20, "count": 2, "dtype": "float32"}
    with rasterio.open(path, "w", crs=UTM.crs, transform=UTM.transform, **profile) as new:
        new.write(np.full((2, 30, 20), 0.05, "float32"))
    bands = [{"name": "B04", "eo:common_name": "red"}, {"name": "B08", "eo:common_name": "nir"}]
    item: dict[str, Any] = {
        "id": "scene",
        "properties": {},
        "links": [],
        "assets": {"data": {"bands": bands}},
    }
    item["assets"]["data"]["href"] = str(path)
    with open_item(item, ["B04", "B08"]) as raster:
        [(key, asset)] = raster_assets(raster).items()
    assert (key, [band["name"] for band in asset["bands"]]) == ("scene", ["B04", "B08"])


def test_a_collection_of_items(tmp_path: Path) -> None:
    import pystac

    place = tmp_path / "landcover"
    for day in (3, 1, 2):
        moment = f"2026-06-0{day}T10:00:00Z"
        write_item(place, described(f"map-{day}", datetime=moment))
    write_item(place, described("map-2", datetime="2026-06-09T10:00:00Z"))
    write_collection(place, "Land cover")
    collection = pystac.Collection.from_file(str(place / "collection.json"))
    assert collection.id == "landcover"
    items = list(collection.get_items())
    assert sorted(item.id for item in items) == ["map-1", "map-2", "map-3"]
    assert {item.collection_id for item in items} == {"landcover"}
    assert all(item.get_collection() is not None for item in items)
    [interval] = json.loads((place / "collection.json").read_text())["extent"]["temporal"][
        "interval"
    ]
    assert interval == ["2026-06-01T10:00:00Z", "2026-06-09T10:00:00Z"]
    assert Path(str(items[0].assets["map"].get_absolute_href())).parent.name == items[0].id


def test_two_that_list_at_the_same_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that knows less writes last."""

    def read_and_meet_another(place: Path) -> Any:
        found = collection_items(place)
        monkeypatch.undo()
        write_item(place, described("theirs"))
        write_collection(place, "Land cover")
        return found

    write_item(tmp_path, described("ours"))
    monkeypatch.setattr(products, "collection_items", read_and_meet_another)
    write_collection(tmp_path, "Land cover")
    links = json.loads((tmp_path / "collection.json").read_text())["links"]
    assert [link["href"] for link in links] == ["./items/ours.json", "./items/theirs.json"]


def test_removing_takes_the_own_files_only(tmp_path: Path) -> None:
    place, outside = tmp_path / "landcover", tmp_path / "scene.tif"
    mine = place / "map-1" / "map.tif"
    mine.parent.mkdir(parents=True)
    for path in (mine, outside):
        path.touch()
    scene = {"href": "../../scene.tif", "roles": ["reflectance"]}
    item = described("map-1")
    item["assets"]["scene"] = scene
    write_item(place, item)
    remove_item(place, item)
    assert collection_items(place) == []
    assert outside.exists() and not mine.exists()


def modelled(folder: Path) -> dict[str, Any]:
    """A model of scikit-learn, described."""
    import mlflow
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    table = pd.DataFrame(np.random.default_rng(0).random((20, 2)), columns=["B04", "B08"])
    model = LogisticRegression().fit(table, ["a", "b"] * 10)
    signature = mlflow.models.infer_signature(table, model.predict(table))
    options = {"signature": signature, "pip_requirements": []}
    mlflow.sklearn.save_model(model, folder / "model", **options)
    info = mlflow.models.get_model_info(str(folder / "model"))
    about = {"architecture": "logistic regression", "uri": "models:/landcover/3"}
    return model_item("landcover-v3", info, classes=CLASSES, **about)


def test_a_model_is_an_item(tmp_path: Path) -> None:
    item = validated(modelled(tmp_path))
    assert item.geometry is None and item.datetime.year > 2025
    assert item.ext.mlm.mlm_name == "landcover-v3"
    assert item.ext.mlm.framework == "scikit-learn"
    [given], [result] = item.ext.mlm.input, item.ext.mlm.output
    assert given.bands == ["B04", "B08"]
    assert result.result.data_type == "other"
    assert item.assets["model"].href == "models:/landcover/3"


def test_a_model_of_images_is_an_item(tmp_path: Path) -> None:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.pyfunc.model import PythonModel
    from mlflow.types import Schema, TensorSpec

    class Brightest(PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return model_input.argmax(axis=1).astype("uint8")

    given = Schema([TensorSpec(np.dtype("float32"), (-1, 2, -1, -1))])
    returned = Schema([TensorSpec(np.dtype("uint8"), (-1, -1, -1))])
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        python_model=Brightest(),
        signature=ModelSignature(given, returned),
        pip_requirements=[],
        metadata={"architecture": "U-Net", "framework": "PyTorch", "bands": ["B04", "B08"]},
    )
    info = mlflow.models.get_model_info(str(tmp_path / "model"))
    made = model_item("net-v1", info, architecture="another", classes=CLASSES, uri="models:/net/1")
    item = validated(made)
    assert item.ext.mlm.architecture == "U-Net"
    assert item.ext.mlm.framework == "PyTorch"
    assert item.properties["mlm:tasks"] == ["semantic-segmentation"]
    [given], [result] = item.ext.mlm.input, item.ext.mlm.output
    assert given.bands == ["B04", "B08"]
    assert given.input.shape == [-1, 2, -1, -1]
    assert result.result.dim_order == ["batch", "height", "width"]
