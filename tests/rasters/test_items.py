"""Scenes that are files of one band each, as STAC items describe them, and other grids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.warp import reproject

from gaiaflow.rasters import RasterError, open_item, open_raster, read_item

from .conftest import Make

NAMES = {"B02": ["blue"], "B03": ["green"], "B04": ["red"], "B08": ["nir"]}
COMMON = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir"}


@pytest.fixture
def item(make: Make, scene: Any) -> dict[str, Any]:
    """A Sentinel-2 item as catalogs give it, of files on this disk; numbers with an offset."""
    numbers = np.round(scene * 10_000 + 1000).astype("uint16")
    assets = {}
    for values, (band, common) in zip(numbers, COMMON.items(), strict=True):
        path = make(values[None], f"{band}.tif", (None,), nodata=0)
        assets[common] = {
            "href": str(path),
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data", "reflectance"],
            "eo:bands": [{"name": band, "common_name": common}],
            "raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1}],
        }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2B_32UNC",
        "properties": {"s2:processing_baseline": "05.11"},
        "assets": assets,
        "links": [],
    }


def newer(item: dict[str, Any]) -> dict[str, Any]:
    """The same in STAC 1.1."""
    assets = {}
    for key, asset in item["assets"].items():
        eo, raster = asset["eo:bands"][0], asset["raster:bands"][0]
        band = {
            "name": eo["name"],
            "eo:common_name": eo["common_name"],
            "nodata": raster["nodata"],
            "raster:scale": raster["scale"],
            "raster:offset": raster["offset"],
        }
        kept = {name: value for name, value in asset.items() if not name.endswith(":bands")}
        assets[key] = {**kept, "bands": [band]}
    return {**item, "stac_version": "1.1.0", "assets": assets}


def test_names_are_tried_in_order_and_the_finest_is_taken(
    item: Any, scene: Any, make: Make
) -> None:
    """Earth Search has nir and nir08, and CDSE each band in 10, 20 and 60 m, with the same name."""
    assets = item["assets"]
    coarse = make(np.full((1, 20, 25), 9000, "uint16"), "coarse.tif", ("B08",))
    assets["nir"] = {**assets.pop("nir"), "gsd": 10}
    other: dict[str, Any] = {"href": str(coarse), "roles": ["data"], "gsd": 60}
    other["raster:bands"] = [{"scale": 0.0001, "offset": -0.1}]
    item["assets"] = {
        "nir08": {**other, "eo:bands": [{"name": "B8A", "common_name": "nir08"}]},
        "B08_60m": {**other, "eo:bands": [{"name": "B08", "common_name": "nir"}]},
        **assets,
    }
    with open_item(item, {**NAMES, "B08": ("nir", "nir08")}) as raster:
        np.testing.assert_allclose(raster.read().values, scene, atol=1e-4)
    del item["assets"]["nir"], item["assets"]["B08_60m"]
    with open_item(item, {"B02": (), "B08": ("nir", "nir08")}) as raster:
        assert raster.layers[1].source == str(coarse)


def test_an_asset_may_say_it_for_all_its_bands(item: Any, scene: Any) -> None:
    changed = newer(item)
    for asset in changed["assets"].values():
        [band] = asset["bands"]
        asset |= {name: band.pop(name) for name in ("nodata", "raster:scale", "raster:offset")}
    del changed["properties"]["s2:processing_baseline"]
    with open_item(changed, NAMES) as raster:
        np.testing.assert_allclose(raster.read().values, scene, atol=1e-4)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_bands_are_stacked_as_the_item_says(item: Any, scene: Any, version: str) -> None:
    with open_item(item if version == "1.0" else newer(item), NAMES) as raster:
        found = raster.read()
    assert found.bands == tuple(NAMES)
    np.testing.assert_allclose(found.values, scene, atol=1e-4)


def test_a_band_that_is_missing_is_named(item: Any) -> None:
    del item["assets"]["nir"]
    with pytest.raises(
        RasterError, match="S2B_32UNC: it has no band B08; its assets are blue, green"
    ):
        open_item(item, NAMES)


def test_a_picture_is_not_measured(item: Any, make: Make, scene: Any) -> None:
    picture = make(np.full((3, 40, 50), 99, "uint8"), "visual.tif", ("red", "green", "blue"))
    bands = [{"name": name, "common_name": COMMON[name]} for name in ("B04", "B03", "B02")]
    item["assets"] = {
        "visual": {"href": str(picture), "roles": ["data"], "eo:bands": bands},
        **item["assets"],
    }
    with open_item(item, NAMES) as raster:
        np.testing.assert_allclose(raster.read().values, scene, atol=1e-4)


@pytest.mark.parametrize("told", ["offset", "baseline"])
def test_an_offset_that_was_taken_off_is_seen(
    item: Any, make: Make, scene: Any, caplog: pytest.LogCaptureFixture, told: str
) -> None:
    """Earth Search's items give it all the same, and say `boa_offset_applied` or not."""
    for asset in item["assets"].values() if told == "baseline" else ():
        del asset["raster:bands"][0]["offset"]
    for values, (band, common) in zip(scene, COMMON.items(), strict=True):
        numbers = np.round(values[None] * 10_000).astype("uint16")
        item["assets"][common]["href"] = str(make(numbers, f"plain-{band}.tif", (None,)))
    with open_item(item, NAMES) as raster:
        np.testing.assert_allclose(raster.read().values, scene, atol=1e-4)
    assert "its offset was applied already" in caplog.text


def test_clouds_have_no_data(item: Any, make: Make, scene: Any) -> None:
    classes = np.full((1, 20, 25), 4, "uint8")  # vegetation; pixels of 20 m
    classes[0, 3, 4], classes[0, 5, 6], classes[0, 7, 8] = 9, 3, 11  # cloud, shadow, snow
    place = from_origin(5e5, 5.4e6, 20, 20)
    path = make(classes, "SCL.tif", ("SCL",), transform=place)
    item["assets"]["scl"] = {"href": str(path), "roles": ["data"]}
    with open_item(item, NAMES) as raster:
        values = raster.read().values
    lacking = np.asarray(np.isnan(values).all(axis=0))
    assert np.isnan(values).any(axis=0).sum() == lacking.sum() == 8
    assert lacking[6:8, 8:10].all() and lacking[10:12, 12:14].all()
    with open_item(item, NAMES, clouds=True) as raster:
        np.testing.assert_allclose(raster.read().values, scene, atol=1e-4)


def test_coarser_bands_are_read_on_the_finest_grid(item: Any, make: Make, scene: Any) -> None:
    coarse = np.round(scene[3:, ::2, ::2] * 10_000 + 1000).astype("uint16")
    path = make(coarse, "B08.tif", (None,), nodata=0, transform=from_origin(5e5, 5.4e6, 20, 20))
    item["assets"]["nir"]["href"] = str(path)
    methods = dict.fromkeys(NAMES, Resampling.nearest)
    with open_item(item, NAMES, resampling=methods) as raster:
        values = raster.read().values
    assert values.shape == scene.shape
    expected = np.repeat(np.repeat(scene[3, ::2, ::2], 2, axis=0), 2, axis=1)
    np.testing.assert_allclose(values[3], expected, atol=1e-4)


@pytest.mark.parametrize("method", [Resampling.nearest, Resampling.bilinear, Resampling.cubic])
def test_another_grid_is_what_gdal_makes_of_it(
    item: Any, make: Make, scene: Any, method: Resampling
) -> None:
    with open_item(item, NAMES) as plain:
        grid = plain.grid.projected("EPSG:3857", 12)
    with open_item(item, NAMES, grid=grid, resampling=method) as raster:
        found = raster.read().values
        windows = list(raster.windows(200))
        assert len(windows) > 1
        for window in windows:
            rows, columns = window.toslices()
            np.testing.assert_array_equal(raster.read(window).values, found[:, rows, columns])
    expected = np.full(found.shape, np.nan, "float32")
    options = {"src_crs": plain.grid.crs, "src_transform": plain.grid.transform}
    options |= {"dst_crs": grid.crs, "dst_transform": grid.transform, "resampling": method}
    numbers = np.round(scene * 10_000) / 10_000
    reproject(numbers.astype("float32"), expected, **options, dst_nodata=np.nan)
    both = np.isfinite(found) & np.isfinite(expected)
    assert both.mean() > 0.8
    assert (np.isfinite(found) == np.isfinite(expected)).mean() > 0.99
    np.testing.assert_allclose(found[both], expected[both], atol=2e-3)


def test_a_grid_of_its_own_needs_a_place(make: Make, scene: Any) -> None:
    with open_raster(make(scene, crs=None)) as raster, pytest.raises(RasterError, match="no coord"):
        raster.grid.projected("EPSG:3857")


def test_an_item_in_a_file_knows_its_folder(item: Any, tmp_path: Path, scene: Any) -> None:
    import json

    for asset in item["assets"].values():
        asset["href"] = "./" + Path(asset["href"]).name
    with pytest.raises(RasterError, match="is relative, and it has no link to itself"):
        open_item(item, NAMES)
    (tmp_path / "item.json").write_text(json.dumps(item))
    with open_item(read_item(tmp_path / "item.json"), NAMES) as raster:
        np.testing.assert_allclose(raster.read().values, scene, atol=1e-4)


def test_a_file_that_is_gone_is_named(item: Any, tmp_path: Path) -> None:
    (tmp_path / "B04.tif").unlink()
    with pytest.raises(RasterError, match=r"S2B_32UNC: .*B04\.tif: GDAL can't read it"):
        open_item(item, NAMES)


def test_bands_of_one_file_are_read_together(make: Make, scene: Any) -> None:
    """Where they follow each other; the order of the bands is as asked for."""
    path = make(np.round(scene * 10_000).astype("uint16"), "scene.tif", tuple(NAMES))
    bands = [{"name": name, "raster:scale": 0.0001, "raster:offset": 0} for name in NAMES]
    item = {"id": "S2", "assets": {"data": {"href": str(path), "bands": bands}}}
    with open_item(item, list(NAMES)) as raster:
        assert [list(layer.encoding.bands) for layer in raster.layers] == [list(NAMES)]
        together = raster.read().values
    with open_item(item, ["B08", "B02"]) as raster:
        assert (len(raster.layers), raster.bands) == (1, ("B08", "B02"))
        np.testing.assert_array_equal(raster.read().values, together[[3, 0]])


def test_bands_of_one_file_with_different_types_are_read_apart(make: Make, scene: Any) -> None:
    numbers = np.round(scene * 10_000)
    paths = [make(numbers[:1].astype("uint16"), "a.tif", ("B02",))]
    paths.append(make(scene[1:2], "b.tif", ("B03",)))
    rows, columns = scene.shape[1:]
    listed = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{number}"><SimpleSource><SourceFilename>{path}'
        "</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for number, (kind, path) in enumerate(zip(("UInt16", "Float32"), paths, strict=True), 1)
    )
    vrt = paths[0].with_name("both.vrt")
    size = f'rasterXSize="{columns}" rasterYSize="{rows}"'
    vrt.write_text(f"<VRTDataset {size}>{listed}</VRTDataset>")
    bands = [{"name": name, "raster:scale": scale} for name, scale in (("B02", 1e-4), ("B03", 1))]
    item = {"id": "S2", "assets": {"data": {"href": str(vrt), "bands": bands}}}
    with open_item(item, ["B02", "B03"]) as raster:
        assert len(raster.layers) == 2
        np.testing.assert_allclose(raster.read().values, scene[:2], atol=1e-4)
