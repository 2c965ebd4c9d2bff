"""Random pixels of a raster, of any size and however it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from gaiaflow.rasters import (
    Description,
    ImageFunction,
    PixelSample,
    Raster,
    apply,
    open_raster,
    read,
    sample_pixels,
)

from .conftest import Make


def ramp(rows: int, columns: int) -> Raster:
    """Each pixel has a number of its own."""
    values = np.arange(rows * columns, dtype=np.float32).reshape(1, rows, columns)
    return Raster(np.concatenate([values, -values]), ("a", "b"), None, Affine.identity())


def test_a_sample_is_random_and_always_the_same() -> None:
    raster = ramp(1500, 1600)  # several windows
    pixels = sample_pixels(raster, 2000)
    assert pixels["a"].is_unique and (pixels["a"] == -pixels["b"]).all()
    assert abs(len(pixels) - 2000) < 5 * 2000**0.5
    quarters, _ = np.histogram(pixels["a"], bins=4, range=(0, 1500 * 1600))
    assert quarters.min() > 400
    assert pixels.equals(sample_pixels(raster, 2000))


def test_a_small_raster_gives_all_pixels() -> None:
    pixels = sample_pixels(ramp(10, 20), 2000)
    assert sorted(pixels["a"]) == list(range(200))


def test_nothing_was_taken() -> None:
    table = PixelSample(ramp(10, 20)).table
    assert list(table.columns) == ["a", "b"] and table.empty


@pytest.mark.parametrize("workers", [1, 4])
def test_apply_takes_pixels_as_they_pass(
    scene: Any, make: Make, tmp_path: Path, workers: int
) -> None:
    holes = scene.copy()
    holes[:, :10] = np.nan
    path = make(holes, nodata=np.nan)
    with open_raster(path) as raster:
        sample = PixelSample(raster, 500)
        function = sample.of(lambda values: values[:1])
        apply(
            function, raster, tmp_path / "b.tif", Description(nodata=0), pixels=256, workers=workers
        )
    table = sample.table
    assert 400 < len(table) < 600
    assert 0.15 < table["B02"].isna().mean() < 0.35
    known = set(read(path).values[0].ravel().tolist())
    assert set(table["B02"].dropna().astype(float)) <= known


def test_what_windows_share_is_taken_once(make: Make, tmp_path: Path) -> None:
    rows, columns = np.mgrid[:1200, :1300].astype(np.float32)
    path = make(np.stack([rows, columns]), bands=("row", "column"))
    with open_raster(path) as raster:
        sample = PixelSample(raster, 1 << 30)  # all of them
        function = sample.of(ImageFunction(lambda values: values[:1], overlap=16))
        apply(function, raster, tmp_path / "b.tif", Description(nodata=np.nan))
    table = sample.table
    assert not table.duplicated().any()
    assert len(table) == 1200 * 1300
