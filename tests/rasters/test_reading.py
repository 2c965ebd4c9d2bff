"""What a file says is used; an argument stands above it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import from_origin

from gaiaflow.rasters import RasterError, read, write_cog

from .conftest import Make

BANDS = ("B02", "B03", "B04", "B08")
NOWHERE: dict[str, Any] = {"crs": None, "transform": None}


def test_scale_and_offset_are_each_bands_own(make: Make) -> None:
    def describe(dataset: Any) -> None:
        dataset.scales, dataset.offsets = (0.5, 2), (1, -1)

    path = make(np.array([[[4]], [[5]]], "int16"), bands=("a", "b"), describe=describe)
    assert read(path).values.ravel().tolist() == [3, 9]
    assert read(path, scale=10, offset=0).values.ravel().tolist() == [40, 50]


@pytest.mark.parametrize(("scale", "says"), [(0, "its scale is 0, 0"), (np.nan, "scale is nan")])
def test_a_scale_that_cannot_be_is_refused(make: Make, scale: float, says: str) -> None:
    def describe(dataset: Any) -> None:
        dataset.scales = (scale, scale)

    path = make(np.ones((2, 1, 1), "int16"), bands=("a", "b"), describe=describe)
    with pytest.raises(RasterError, match=f"{says}.* Set scale"):
        read(path)
    assert read(path, scale=2).values.ravel().tolist() == [2, 2]


def test_every_way_to_say_no_data(make: Make) -> None:
    values = np.arange(1, 7, dtype="float32").reshape(1, 2, 3)
    values[0, 0] = [np.nan, np.inf, -9999]

    def mask(dataset: Any) -> None:
        dataset.write_mask(np.array([[True, True, True], [False, True, True]]))

    found = read(make(values, bands=("a",), nodata=-9999, describe=mask)).values[0]
    assert np.isnan(found).tolist() == [[True, True, True], [True, False, False]]


def test_a_mask_file_beside_counts(make: Make) -> None:
    path = make(np.ones((1, 1, 2), "uint16"), bands=("a",))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.array([[False, True]]))
    assert path.with_name("scene.tif.msk").exists()
    assert np.isnan(read(path).values[0]).tolist() == [[True, False]]


def test_an_alpha_band_is_no_band(make: Make) -> None:
    values = np.array([[[7, 8, 9]], [[0, 255, 255]]], "uint8")
    found = read(make(values, bands=("a", ""), nodata=9, alpha="yes"))
    assert found.bands == ("a",)
    assert np.isnan(found.values[0]).tolist() == [[True, False, True]]


def test_the_fourth_of_four_bytes_is_data_if_it_is_wanted(make: Make) -> None:
    """GDAL takes it for alpha, so its zeros would hide the other bands."""
    values = np.array([1, 2, 3, 0], "uint8").reshape(4, 1, 1)
    assert read(make(values), BANDS).values.ravel().tolist() == [1, 2, 3, 0]


def test_nodata_of_the_caller_replaces_the_files(make: Make) -> None:
    path = make(np.array([[[0, 5, 7]]], "uint16"), bands=("a",), nodata=0)
    assert np.isnan(read(path).values[0]).tolist() == [[True, False, False]]
    assert np.isnan(read(path, nodata=7).values[0]).tolist() == [[False, False, True]]
    with pytest.raises(RasterError, match="nodata is -1, which does not fit its data type, uint16"):
        read(path, nodata=-1)


def test_complex_numbers_are_refused(make: Make) -> None:
    path = make(np.ones((1, 2, 2), "complex64"), bands=("VV",))
    with pytest.raises(RasterError, match="data type is complex64, and must be integer or float"):
        read(path)


# Bands


@pytest.mark.parametrize(
    "bands",
    [
        ("SCL", "B08", "B04", "B03", "B02"),
        ("B8A", "b8", "b4", "b3", "b2"),
        ("", "B8, central wavelength 842 nm", "B4, 665 nm", "B3, 560 nm", "B2, 490 nm"),
        ("scl", "NIR", "Red", "Green", "Blue"),
    ],
    ids=["more", "short", "GDAL's Sentinel-2", "STAC"],
)
def test_bands_are_found_by_name(make: Make, bands: tuple[str, ...]) -> None:
    path = make(np.arange(5, dtype="int16").reshape(5, 1, 1), bands=bands)
    others = {"B02": ("blue",), "B03": ("green",), "B04": ("red",), "B08": ("nir",)}
    found = read(path, others)
    assert found.bands == BANDS
    assert found.values.ravel().tolist() == [4, 3, 2, 1]


@pytest.mark.parametrize(
    ("bands", "given", "says"),
    [
        (("", ""), None, "none of its 2 bands has a name. Set band_names"),
        (("B02", "x"), None, "it has no band B04, only B02, x. .* set band_names"),
        (("B02", "b2"), None, "bands 1 and 2 are both B02. Set band_names"),
        (("B02", "B04"), ["B02"], "band_names has 1 names for 2 bands"),
    ],
)
def test_bands_that_are_not_found_are_named(
    make: Make, bands: tuple[str, ...], given: list[str] | None, says: str
) -> None:
    path = make(np.ones((2, 1, 1), "int16"), bands=bands)
    with pytest.raises(RasterError, match=says):
        read(path, ["B02", "B04"], band_names=given)
    assert read(path, ["B02", "B04"], band_names=["B04", "B02"]).bands == ("B02", "B04")


# Georeference


def points(bend: float = 0) -> list[GroundControlPoint]:
    places = [(0, 0), (0, 50), (40, 0), (40, 50)]
    found = [GroundControlPoint(r, c, 10 + c * 1e-4, 50 - r * 1e-4) for r, c in places]
    found[-1].x += bend * 1e-4
    return found


def test_a_grid_is_fitted_to_control_points(
    make: Make, scene: Any, caplog: pytest.LogCaptureFixture
) -> None:
    found = read(make(scene, gcps=points(), crs="EPSG:4326", transform=None))
    assert found.crs and found.crs.to_epsg() == 4326
    assert found.transform == pytest.approx(from_origin(10, 50, 1e-4, 1e-4))
    assert "fitted to 4 ground control points" in caplog.text


def test_control_points_of_no_grid_are_refused(make: Make, scene: Any) -> None:
    path = make(scene, gcps=points(bend=8), crs="EPSG:4326", transform=None)
    with pytest.raises(RasterError, match=r"misses them by up to 1\.9 pixels.*gdalwarp"):
        read(path)
    path = make(scene, gcps=points()[:2], crs="EPSG:4326", transform=None)
    with pytest.raises(RasterError, match="2 ground control points do not span a grid"):
        read(path)


def test_rpcs_alone_are_refused(make: Make, scene: Any) -> None:
    rpcs = RPC(
        **{f"{name}_off": 0.0 for name in ("height", "lat", "long", "line", "samp")},
        **{f"{name}_scale": 1.0 for name in ("height", "lat", "long", "line", "samp")},
        **{f"{n}_{part}_coeff": [1.0] * 20 for n in ("line", "samp") for part in ("num", "den")},
    )
    path = make(scene, **NOWHERE)
    with rasterio.open(path, "r+") as dataset:
        dataset.rpcs = rpcs
    with pytest.raises(RasterError, match=r"georeferenced only by RPCs.*gdalwarp -rpc"):
        read(path)


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (NOWHERE, "it has no georeference"),
        ({"transform": None}, "it has no georeference"),  # a CRS alone is no place
        ({"crs": None}, "it has no coordinate reference system"),
    ],
    ids=["nothing", "no transform", "no CRS"],
)
def test_what_is_not_known_is_not_made_up(
    make: Make, scene: Any, place: dict[str, Any], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = read(make(scene, **place))
    assert says in caplog.text
    assert found.crs is None and found.grid.pixel_metres is None
    again = read(write_cog(found.values, found.crs, found.transform, np.nan, names=BANDS))
    assert (again.crs, again.transform, again.bands) == (None, found.transform, BANDS)


@pytest.mark.parametrize(
    ("crs", "transform", "pixel", "north_up"),
    [
        (32632, from_origin(5e5, 5.4e6, 10, 20), (10, 20), True),
        (32632, Affine(8, 6, 5e5, 6, -8, 5.4e6), (10, 10), False),
        (32632, Affine(10, 0, 5e5, 0, 10, 5.4e6), (10, 10), False),
        (2263, from_origin(9.8e5, 2e5, 100, 100), (30.48, 30.48), True),  # US survey feet
        (4326, from_origin(10, 60, 1e-3, 1e-3), (55.8, 111.4), True),
        (3857, from_origin(1e6, 8399738, 10, 10), (5.0, 5.0), True),  # 60 degrees north
        (4326, from_origin(180 - 0.025, 0.02, 1e-3, 1e-3), (111.3, 110.6), True),
    ],
    ids=["UTM", "rotated", "south up", "feet", "degrees", "Web Mercator", "date line"],
)
def test_a_pixel_is_measured_on_the_ground(
    make: Make, scene: Any, crs: int, transform: Affine, pixel: Any, north_up: bool
) -> None:
    found = read(make(scene, crs=f"EPSG:{crs}", transform=transform))
    assert found.transform == transform
    assert found.grid.pixel_metres == pytest.approx(pixel, rel=4e-3)
    assert found.grid.is_north_up == north_up


@pytest.mark.parametrize(("unit", "pixel"), [('"metre",1', 10), ('"foot",0.3048', 3.048)])
def test_a_plan_without_a_place_has_a_unit(make: Make, scene: Any, unit: str, pixel: float) -> None:
    crs = f'LOCAL_CS["Plan",UNIT[{unit}],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
    found = read(make(scene, crs=crs)).grid
    assert found.pixel_metres == pytest.approx((pixel, pixel))


# Files


def test_what_is_not_a_raster_is_named(tmp_path: Path) -> None:
    file = tmp_path / "scene.tif"
    with pytest.raises(RasterError, match=r"scene\.tif: GDAL can't read it: .*No such file"):
        read(file)
    file.write_text("a page of HTML", encoding="utf-8")
    with pytest.raises(RasterError, match=r"scene\.tif: GDAL can't read it"):
        read(file)
    with pytest.raises(RasterError, match="the raster: GDAL can't read it"):
        read(b"a page of HTML")


def test_a_file_that_ends_in_the_middle_is_refused(make: Make, scene: Any) -> None:
    path = make(scene)
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(RasterError, match=r"scene\.tif: GDAL can't read it"):
        read(path)
