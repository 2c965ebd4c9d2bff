"""Training pixels are those that labels mark, whatever their format and CRS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaiaflow.rasters import (
    Description,
    LabelMask,
    RasterError,
    apply,
    open_raster,
    read,
    read_labels,
    sample_labels,
    spatial_blocks,
)

from .conftest import Make

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")

WEST, NORTH = 5e5, 5.4e6  # of the scene, with pixels of 10 m


def box(left: int, top: int, right: int, bottom: int) -> Any:
    """The rectangle of these pixels."""
    edges = (WEST + left * 10, NORTH - bottom * 10, WEST + right * 10, NORTH - top * 10)
    return shapely.box(*edges)


@pytest.fixture
def labels() -> Any:
    water, town = box(2, 3, 12, 8), shapely.Point(WEST + 305, NORTH - 205)  # pixel (30, 20)
    return geopandas.GeoDataFrame(
        {"class": ["water", "town"], "by": "me"}, geometry=[water, town], crs="EPSG:32632"
    )


WRITERS = {
    "labels.gpkg": lambda table, path: table.to_file(path),
    "labels.geojson": lambda table, path: table.to_crs("EPSG:4326").to_file(path),
    "labels.parquet": lambda table, path: table.to_crs("EPSG:3035").to_parquet(path),
}


@pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)
@pytest.mark.parametrize("pixels", [100, 1 << 20])
def test_the_marked_pixels(
    make: Make, scene: Any, labels: Any, tmp_path: Path, name: str, write: Any, pixels: int
) -> None:
    write(labels, tmp_path / name)
    with open_raster(make(scene)) as raster:
        table = sample_labels(raster, read_labels(tmp_path / name), pixels=pixels)
    assert table["class"].value_counts().to_dict() == {"water": 50, "town": 1}
    assert table.crs == raster.grid.crs
    for _, row in table.iterrows():
        column, line = (row.geometry.x - WEST) // 10, (NORTH - row.geometry.y) // 10
        np.testing.assert_array_equal(
            row[list(raster.bands)].to_numpy("float32"), scene[:, int(line), int(column)]
        )
    assert box(2, 3, 12, 8).contains(table[table["class"] == "water"].geometry).all()


def test_a_choice_of_many_is_random_but_the_same_again(make: Make, scene: Any) -> None:
    fields = geopandas.GeoDataFrame(
        {"class": ["a", "b"]}, geometry=[box(0, 0, 25, 40), box(25, 0, 50, 40)], crs="EPSG:32632"
    )
    with open_raster(make(scene)) as raster:
        chosen = [sample_labels(raster, fields, per_class=30, seed=seed) for seed in (1, 1, 2)]
    assert all(len(table) == 60 for table in chosen)
    assert chosen[0].equals(chosen[1]) and not chosen[0].equals(chosen[2])


def test_pixels_without_data_are_left_out(make: Make, scene: Any, labels: Any) -> None:
    scene[0, 3:7, 2:12] = np.nan
    with open_raster(make(scene)) as raster:
        table = sample_labels(raster, labels)
    assert table["class"].value_counts().to_dict() == {"water": 10, "town": 1}


def test_invalid_polygons_are_repaired(make: Make, scene: Any, labels: Any, tmp_path: Path) -> None:
    corners = [(WEST, NORTH), (WEST + 100, NORTH - 100), (WEST + 100, NORTH), (WEST, NORTH - 100)]
    labels.loc[0, "geometry"] = shapely.Polygon(corners)  # a bow tie
    labels.loc[2] = ["empty", "me", shapely.Polygon()]
    labels.loc[3] = [None, "me", box(0, 0, 9, 9)]
    labels.to_file(tmp_path / "labels.gpkg")
    read = read_labels(tmp_path / "labels.gpkg")
    assert sorted(read["class"]) == ["town", "water"]
    with open_raster(make(scene)) as raster:
        assert 30 < sample_labels(raster, read)["class"].value_counts()["water"] < 70


def test_bad_labels(labels: Any, tmp_path: Path, make: Make, scene: Any) -> None:
    path = tmp_path / "labels.gpkg"
    with pytest.raises(RasterError, match=r"labels\.gpkg: the labels can't be read"):
        read_labels(path)
    labels.to_file(path)
    with pytest.raises(RasterError, match="no column 'kind', only class, by"):
        read_labels(path, "kind")
    labels[:1].to_file(path)
    with pytest.raises(RasterError, match="it has only the class 'water'"):
        read_labels(path)
    labels.set_crs(None, allow_override=True).to_parquet(tmp_path / "labels.parquet")
    with pytest.raises(RasterError, match="no coordinate reference system"):
        read_labels(tmp_path / "labels.parquet")
    with open_raster(make(scene)) as raster:
        with pytest.raises(RasterError, match="none of the 2 labels lies on it"):
            sample_labels(raster, labels.set_geometry(labels.geometry.translate(1e6)))
        scene[:] = np.nan
    with (
        open_raster(make(scene, "empty.tif")) as raster,
        pytest.raises(RasterError, match="none of the 2 labels lies where it has data"),
    ):
        sample_labels(raster, labels)


@pytest.mark.parametrize("pixels", [100, 1 << 20])
def test_a_mask_has_the_codes_of_labels(
    make: Make, scene: Any, labels: Any, tmp_path: Path, pixels: int
) -> None:
    codes = {"town": 4, "water": 7}
    with open_raster(make(scene)) as raster:
        mask = LabelMask(labels.to_crs("EPSG:4326"), codes, raster)
        assert (mask.bands, mask.grid) == (("class",), raster.grid)
        apply(np.nan_to_num, mask, tmp_path / "mask.tif", Description(0), pixels=pixels)
        window = next(raster.windows(100))
        stored = read(tmp_path / "mask.tif")
        np.testing.assert_array_equal(mask.read().values, stored.values)
        np.testing.assert_array_equal(
            mask.read(window).values, stored.values[:, : window.height, : window.width]
        )
    expected = np.full(scene.shape[1:], np.nan)
    expected[3:8, 2:12], expected[20, 30] = 7, 4
    np.testing.assert_array_equal(stored.values[0], expected)


def test_a_mask_needs_labels_on_the_scene(make: Make, scene: Any, labels: Any) -> None:
    codes = {"town": 4, "water": 7}
    away = labels.assign(geometry=labels.translate(1e5))
    with (
        open_raster(make(scene)) as raster,
        pytest.raises(RasterError, match="none of the 2 labels lies on it"),
    ):
        LabelMask(away, codes, raster)
    with (
        open_raster(make(scene, crs=None)) as raster,
        pytest.raises(RasterError, match="isn't georeferenced"),
    ):
        LabelMask(labels, codes, raster)


def test_neighbours_are_in_one_block() -> None:
    points = geopandas.GeoDataFrame(
        geometry=geopandas.points_from_xy([0, 900, 5_000, 5_001], [10, 20, 10, 6_000]),
        crs="EPSG:32632",
    )
    blocks = spatial_blocks(points, 3_000)
    assert blocks.nunique() == 3 and blocks[0] == blocks[1]
