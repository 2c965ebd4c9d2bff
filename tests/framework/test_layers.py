"""Which layers a STAC item has, and from where they are read."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gaiaflow.maps import page_url, tile_url
from gaiaflow.maps.errors import MapError
from gaiaflow.maps.layers import CLASSES, VALUES, Layer, find, layers_of
from gaiaflow.project import maps as keys

PLACE = {"type": "Point", "coordinates": [0, 0]}


def resolve(href: str) -> tuple[str, str]:
    if href.startswith("file:"):
        raise MapError(f"{href} is not for you.")
    return f"s3://bucket/{href}", f"http://store/bucket/{href}?signed"


def layers(geometry: Any = PLACE, **assets: Any) -> dict[str, Layer]:
    found = layers_of({"geometry": geometry, "assets": assets}, resolve)
    return {layer.id: layer for layer in found}


def band(color: str, **more: Any) -> dict[str, Any]:
    return {"name": color, "eo:common_name": color, "data_type": "uint16", **more}


def scene(*colors: str, href: str = "scene.tif") -> dict[str, Any]:
    return {"href": href, "bands": [band(color) for color in colors]}


def test_a_file_with_all_bands() -> None:
    found = layers(scene=scene("blue", "green", "red", "nir"))
    assert list(found) == ["true-color", "false-color", VALUES]
    address = "http://store/bucket/scene.tif?signed"
    assert found["true-color"].files == [(address, (3, 2, 1))]
    assert found["false-color"].files == [(address, (4, 3, 2))]
    assert [band.name for band in found[VALUES].bands] == ["blue", "green", "red", "nir"]


def test_a_file_for_each_band() -> None:
    assets = {color: scene(color, href=f"{color}.tif") for color in ("red", "green", "blue")}
    found = layers(**assets)
    assert list(found) == ["true-color", VALUES]
    files = [address.partition("?")[0] for address, _ in found["true-color"].files]
    assert files == [f"http://store/bucket/{color}.tif" for color in ("red", "green", "blue")]


def test_bands_of_the_file_that_the_scene_does_not_use() -> None:
    found = layers(scene={"href": "scene.tif", "bands": [{}, band("red"), {}]})
    [red] = found[VALUES].bands
    assert (red.name, red.number) == ("red", 2)


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAPS_URL", raising=False)
    assert page_url("landcover", "a") is None
    monkeypatch.setenv("MAPS_URL", "http://127.0.0.1:8088")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    assert page_url("landcover") == "http://127.0.0.1:8088/#landcover"
    assert page_url("landcover", "a b/ö") == "http://127.0.0.1:8088/#landcover/a_b_%C3%B6"
    address = tile_url("landcover", "a", "true-color")
    start = "http://127.0.0.1:8088/layers/landcover/a/true-color/{z}/{x}/{y}.png?key="
    assert address == start + keys.key("secret")


def test_fields_of_the_asset_hold_for_its_bands() -> None:
    asset = {"href": "r.tif", "eo:common_name": "red", "raster:scale": 2, "raster:offset": -1}
    [found] = layers(asset=asset)[VALUES].bands
    assert (found.name, found.scale, found.offset) == ("red", 2, -1)
    own = {"href": "r.tif", "raster:scale": 2, "bands": [band("red", **{"raster:scale": 3})]}
    assert layers(asset=own)[VALUES].bands[0].scale == 3


@pytest.mark.parametrize(
    ("kind", "scale"), [("uint8", 1 / 255), ("uint16", 1e-4), ("int16", 1e-4), ("float32", 1)]
)
def test_integers_without_a_scale(kind: str, scale: float) -> None:
    asset = {"href": "r.tif", "bands": [band("red", data_type=kind)]}
    assert layers(asset=asset)[VALUES].bands[0].scale == scale


def test_no_data() -> None:
    bands = [band("red", nodata=value) for value in (0, "nan", None)]
    found = layers(asset={"href": "r.tif", "bands": bands[:1]})[VALUES].bands
    assert found[0].nodata == 0
    found = layers(asset={"href": "r.tif", "bands": bands[1:2]})[VALUES].bands
    assert found[0].nodata is not None and math.isnan(found[0].nodata)
    found = layers(asset={"href": "r.tif", "bands": bands[2:]})[VALUES].bands
    assert found[0].nodata is None


def test_classes() -> None:
    known = [
        {"value": 1, "name": "water", "title": "Water", "color_hint": "3470B2", "percentage": 12.5},
        {"value": 7, "name": "other"},
    ]
    about = {"data_type": "uint8", "nodata": 0, "classification:classes": known}
    for asset in (
        {"href": "map.tif", "bands": [about]},
        {"href": "map.tif", **about},
    ):
        layer = layers(map=asset)[CLASSES]
        water, other = layer.classes
        assert (water.value, water.title, water.color, water.share) == (1, "Water", "3470B2", 12.5)
        assert (other.title, other.share) == ("other", None)
        assert len(bytes.fromhex(other.color)) == 3
        assert layer.bands[0].nodata == 0
    assert layers(map={"href": "map.tif"})[CLASSES].classes == ()


def test_no_geometry_means_a_plain_grid() -> None:
    found = layers(geometry=None, map={"href": "map.tif"}, s=scene("red", "green", "blue"))
    assert all(layer.plain for layer in found.values())
    assert not layers(map={"href": "map.tif"})[CLASSES].plain


def test_pictures_and_metadata_are_no_layers() -> None:
    assert layers(thumbnail={"href": "a.png"}, metadata={"href": "a.xml", "roles": []}) == {}


def test_what_is_wrong_with_one_asset_is_no_matter_for_others() -> None:
    secret = scene("red", href="file:///etc/passwd")
    found = layers(map={"href": "map.tif"}, red=secret, rest=scene("green", "blue"))
    assert found[CLASSES].problem == ""
    assert found["true-color"].problem == "file:///etc/passwd is not for you."
    assert found["true-color"].bands == ()
    assert [band.name for band in found[VALUES].bands] == ["green", "blue"]
    assert find(found.values(), "nothing") is None


@pytest.mark.parametrize(
    "asset",
    [
        {},
        {"href": "map.tif", "classification:classes": [{"name": "no value"}]},
        {"href": "map.tif", "bands": ["text"]},
        "text",
        {"href": "map.tif", "bands": [{"nodata": "nothing"}]},
    ],
)
def test_an_asset_that_is_not_as_stac_says(asset: Any) -> None:
    found = layers(map=asset, scene=scene("red", "green", "blue"))
    assert found[CLASSES].problem.startswith("The asset map is not described as STAC says")
    assert found["true-color"].problem == ""


def test_a_scale_of_zero_is_named() -> None:
    asset = {"href": "r.tif", "bands": [band("red", **{"raster:scale": 0})]}
    assert layers(asset=asset)["true-color"].problem == (
        "The band red of s3://bucket/r.tif has the scale 0."
    )
