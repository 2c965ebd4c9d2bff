"""What a file of reflectance leaves unsaid is decided by rule, and said; or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gaiaflow.rasters import Raster, RasterError, read_reflectance

from .conftest import Make

BANDS = ("B02", "B03", "B04", "B08")


def numbers(scene: Any, more: int = 0) -> Any:
    return np.round(scene * 10_000 + more).astype("uint16")


def same(found: Raster, scene: Any) -> None:
    np.testing.assert_allclose(found.values, scene, atol=1e-4)


def tagged(baseline: str) -> Any:
    return lambda dataset: dataset.update_tags(PROCESSING_BASELINE=baseline)


def scaled(scale: float, offset: float) -> Any:
    def describe(dataset: Any) -> None:
        dataset.scales, dataset.offsets = (scale,) * 4, (offset,) * 4

    return describe


def test_floats_are_reflectance(make: Make, scene: Any, caplog: pytest.LogCaptureFixture) -> None:
    same(read_reflectance(make(scene), BANDS), scene)
    assert not caplog.text  # nothing had to be decided


def test_integers_are_reflectance_times_10000(
    make: Make, scene: Any, caplog: pytest.LogCaptureFixture
) -> None:
    same(read_reflectance(make(numbers(scene)), BANDS), scene)
    assert "scene.tif: it has no scale: its integers are taken as refl" in caplog.text
    assert "but dark pixels: the offset is taken as 0" in caplog.text


def test_what_the_file_says_is_not_decided(
    make: Make, scene: Any, caplog: pytest.LogCaptureFixture
) -> None:
    landsat = np.round((scene + 0.2) / 0.0000275).astype("uint16")
    same(read_reflectance(make(landsat, describe=scaled(0.0000275, -0.2)), BANDS), scene)
    same(read_reflectance(make(numbers(scene, 1000), describe=scaled(1e-4, -0.1)), BANDS), scene)
    assert not caplog.text


# Offset: Sentinel-2 from processing baseline 04.00 on


@pytest.mark.parametrize("scale", [1, 1e-4])
def test_an_offset_that_is_not_known_is_asked_for(make: Make, scene: Any, scale: float) -> None:
    path = make(numbers(scene, 1000), nodata=0, describe=scaled(scale, 0))
    with pytest.raises(RasterError, match=r"04\.00 .*Set offset=-0\.1 if .*offset=0 if the scene"):
        read_reflectance(path, BANDS)
    same(read_reflectance(path, BANDS, offset=-0.1), scene)
    same(read_reflectance(path, BANDS, offset=0), scene + 0.1)


@pytest.mark.parametrize("baseline", ["", "05.11"])
def test_floats_without_their_offset_are_seen(make: Make, scene: Any, baseline: str) -> None:
    path = make(scene + np.float32(0.1), describe=tagged(baseline))
    with pytest.raises(RasterError, match=r"Set offset=-0\.1"):
        read_reflectance(path, BANDS)
    same(read_reflectance(path, BANDS, offset=-0.1), scene)
    same(read_reflectance(make(scene, describe=tagged(baseline)), BANDS), scene)


def test_holes_do_not_make_a_scene_dark(make: Make, scene: Any) -> None:
    values = numbers(scene, 1000)
    values[:, :20] = 0
    with pytest.raises(RasterError, match=r"Set offset=-0\.1"):
        read_reflectance(make(values), BANDS)


PRODUCT = "S2A_MSIL2A_20260601T101031_N{}_R022_T32UNU_20260601T160000.tif"


@pytest.mark.parametrize(
    ("baseline", "more"), [("05.11", 1000), ("04.00", 1000), ("03.01", 0), ("02.14", 0)]
)
@pytest.mark.parametrize("how", ["tag", "name"])
def test_the_processing_baseline_decides(
    make: Make, scene: Any, baseline: str, more: int, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = PRODUCT.format(baseline.replace(".", "")) if how == "name" else "scene.tif"
    describe = tagged(baseline) if how == "tag" else tagged("")
    same(read_reflectance(make(numbers(scene, more), name, describe=describe), BANDS), scene)
    assert f"baseline {baseline}: the offset is {-0.1 if more else 0}" in caplog.text


def test_an_offset_that_was_taken_off_before_is_seen(make: Make, scene: Any) -> None:
    path = make(numbers(scene), describe=tagged("05.00"))
    with pytest.raises(RasterError, match=r"Set offset=0 if it was applied already"):
        read_reflectance(path, BANDS)
    same(read_reflectance(path, BANDS, offset=0), scene)


# Scale


def test_bytes_are_refused(make: Make, scene: Any) -> None:
    path = make(np.round(scene * 255).astype("uint8"))
    with pytest.raises(RasterError, match=r"bytes without a scale.*Set scale.*0\.00392"):
        read_reflectance(path, BANDS)
    np.testing.assert_allclose(
        read_reflectance(path, BANDS, scale=1 / 255).values, scene, atol=0.002
    )


@pytest.mark.parametrize(
    ("factor", "dtype"),
    [(255, "uint16"), (1000, "int16"), (65535, "uint16"), (100, "float32"), (10_000, "float32")],
)
def test_numbers_of_another_scale_are_refused(
    make: Make, scene: Any, factor: float, dtype: str
) -> None:
    path = make((scene * factor).astype(dtype))
    with pytest.raises(RasterError, match="Set scale, perhaps with offset"):
        read_reflectance(path, BANDS)
    found = read_reflectance(path, BANDS, scale=1 / factor)
    np.testing.assert_allclose(found.values, scene, atol=1 / factor)


def test_landsat_without_its_scale_is_refused(make: Make, scene: Any) -> None:
    path = make(np.round((scene + 0.2) / 0.0000275).astype("uint16"))
    with pytest.raises(RasterError, match=r"scale=0\.0000275 and offset=-0\.2 for Landsat"):
        read_reflectance(path, BANDS)
    same(read_reflectance(path, BANDS, scale=0.0000275, offset=-0.2), scene)


def test_an_offset_of_integers_needs_a_scale(make: Make, scene: Any) -> None:
    path = make(numbers(scene, 1000), describe=scaled(1, -1000))
    with pytest.raises(RasterError, match=r"an offset of -1000, but no scale\. Set scale"):
        read_reflectance(path, BANDS)


# No data


@pytest.mark.parametrize(
    ("fill", "dtype"),
    [
        *((0, "uint16"), (65535, "uint16"), (-9999, "int16"), (-999, "int16"), (-32768, "int16")),
        *((0, "float32"), (-9999, "float32"), (np.finfo("float32").min, "float32")),
        *((np.inf, "float32"), (np.nan, "float32")),
    ],
)
def test_what_fills_all_bands_is_no_data(
    make: Make, scene: Any, fill: float, dtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    values = numbers(scene).astype(dtype) if dtype != "float32" else scene.copy()
    values[:, :4] = fill
    found = read_reflectance(make(values), BANDS).values
    assert np.isnan(found[:, :4]).all()
    same(Raster(found[:, 4:], BANDS, None, None), scene[:, 4:])  # type: ignore[arg-type]
    if np.isfinite(fill):
        assert f"10.0% of its pixels hold {fill:g} in all bands" in caplog.text


@pytest.mark.parametrize("wrong", [-9999, -1, 77.5, 65535, 1e20])
def test_a_single_number_that_is_no_reflectance_is_refused(
    make: Make, scene: Any, wrong: float
) -> None:
    values = scene.copy()
    values[2, 5, 5] = wrong
    with pytest.raises(RasterError, match=r"0\.1 % of its pixels .* Set nodata="):
        read_reflectance(make(values), BANDS)
    found = read_reflectance(make(values), BANDS, nodata=wrong).values
    assert np.argwhere(np.isnan(found)).tolist() == [[2, 5, 5]]


def test_a_zero_in_one_band_is_dark(make: Make, scene: Any) -> None:
    values = numbers(scene)
    values[3, :20] = 0
    assert np.isfinite(read_reflectance(make(values), BANDS).values).all()


def test_with_nodata_of_the_caller_no_other_number_is(make: Make, scene: Any) -> None:
    values = numbers(scene)
    values[:, :4], values[:, 4:8] = 0, 9
    found = read_reflectance(make(values), BANDS, nodata=9).values
    assert (found[:, :4] == 0).all() and np.isnan(found[:, 4:8]).all()


def test_a_scene_without_data_is_read(make: Make, scene: Any) -> None:
    assert np.isnan(read_reflectance(make(numbers(scene) * 0), BANDS).values).all()
