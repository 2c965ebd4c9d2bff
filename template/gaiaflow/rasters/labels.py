"""Training pixels: the values of a raster where people have said what is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.features import rasterize
from rasterio.windows import Window, bounds
from rasterio.windows import transform as window_transform

from gaiaflow.rasters.destination import fetched
from gaiaflow.rasters.errors import RasterError
from gaiaflow.rasters.grid import Grid
from gaiaflow.rasters.lazy import LazyRaster, Raster, Windowed
from gaiaflow.rasters.windows import PIXELS

CLASS, BLOCK = "class", "block"


def read_labels(source: str | Path, label_column: str = CLASS) -> Any:
    """Read labelled points or polygons: GeoPackage, GeoJSON, GeoParquet or Shapefile.

    Args:
        source: a path, "s3://bucket/key" in the project's store, or a URL.
        label_column: the column that names the class.

    Returns:
        A GeoDataFrame with the columns `class` (text) and `geometry`, which is valid. Rows without
        a class or a geometry are left out.

    Raises:
        RasterError: it can't be read or has no CRS, no such column, or fewer than two classes.
    """
    import geopandas

    name = str(source)
    try:
        with fetched(source) as file:
            read = geopandas.read_parquet if name.endswith("parquet") else geopandas.read_file
            table = read(file)
    except Exception as error:  # each driver has its own
        raise RasterError(f"{name}: the labels can't be read: {error}") from error
    if label_column not in table.columns:
        there = ", ".join(str(other) for other in table.columns if other != "geometry")
        raise RasterError(
            f"{name}: it has no column {label_column!r}, only {there}. Set label_column to the one "
            "that names the classes"
        )
    if table.crs is None:
        raise RasterError(f"{name}: it has no coordinate reference system. Save it with one")
    kept = table[table[label_column].notna() & ~(table.geometry.isna() | table.geometry.is_empty)]
    labels = geopandas.GeoDataFrame(
        {CLASS: kept[label_column].astype(str)}, geometry=kept.geometry.make_valid(), crs=table.crs
    )
    classes = sorted(labels[CLASS].unique())
    if len(classes) < 2:
        found = f"only the class {classes[0]!r}" if classes else "no label"
        raise RasterError(f"{name}: it has {found}; a classifier needs two or more")
    return labels.reset_index(drop=True)


def sample_labels(
    raster: LazyRaster,
    labels: Any,
    *,
    per_class: int = 5_000,
    seed: int = 0,
    pixels: int = PIXELS,
) -> Any:
    """The values of the pixels whose centers lie in a polygon, or that contain a point.

    Reads only windows that have labels. If a class has more pixels than wanted, a random choice of
    them is kept; where labels overlap, the last one counts.

    Args:
        labels: as `read_labels` returns them, in any CRS.
        per_class: at most this many pixels of a class.

    Returns:
        A GeoDataFrame in the CRS of the raster: a column for each band (float32), `class`, and the
        pixels' centers.

    Raises:
        RasterError: no label lies on the raster, or only where it has no data.
    """
    import geopandas
    import pandas as pd

    placed = _placed(labels, raster)
    classes = sorted(placed[CLASS].unique())
    codes = placed[CLASS].map({name: code for code, name in enumerate(classes, start=1)})
    random = np.random.default_rng(seed)
    kept = {code: pd.DataFrame() for code in range(1, len(classes) + 1)}
    touched = False
    for window, near in _labelled(raster, placed, pixels):
        shapes = list(zip(placed.geometry.iloc[near], codes.iloc[near], strict=True))
        values = raster.read(window)
        there = rasterize(
            shapes,
            (window.height, window.width),
            transform=values.transform,
            dtype="uint16" if len(classes) > 255 else "uint8",
        )
        touched |= bool(there.any())
        usable = (there > 0) & np.isfinite(values.values).all(axis=0)
        rows, columns = np.nonzero(usable)
        table = pd.DataFrame(values.values[:, rows, columns].T, columns=list(raster.bands))
        table["x"], table["y"] = _centers(values.transform, rows, columns)
        table["key"] = random.random(len(table))  # the smallest keys of each class are the choice
        for code, part in table.groupby(there[rows, columns]):
            kept[code] = pd.concat([kept[code], part]).nsmallest(per_class, "key")
    parts = [part.assign(**{CLASS: classes[code - 1]}) for code, part in kept.items() if len(part)]
    if not parts:
        reason = "lies where it has data" if touched else "lies on it"
        raise RasterError(f"none of the {len(labels)} labels {reason}")
    chosen = pd.concat(parts, ignore_index=True)
    points = geopandas.points_from_xy(chosen.pop("x"), chosen.pop("y"))
    return geopandas.GeoDataFrame(chosen.drop(columns="key"), geometry=points, crs=raster.grid.crs)


class LabelMask:
    """Labels as a raster of class codes, burnt window by window; NaN where nothing is labelled.

    `apply` can store it:

        apply(np.nan_to_num, LabelMask(labels, codes, raster), "mask.tif", description)

    Where labels overlap, the last one counts. A point labels the pixel that contains it, a polygon
    the pixels whose centers lie in it.

    Attributes:
        bands: of the raster, one: "class".
        grid: that of the scene.
    """

    bands = (CLASS,)

    def __init__(self, labels: Any, codes: Mapping[str, int], scene: Windowed) -> None:
        """Put labels on the grid of a scene.

        Args:
            labels: as `read_labels` returns them, in any CRS.
            codes: the code of each class.

        Raises:
            RasterError: the scene has no place on the Earth, or no label lies on it.
        """
        self.grid = scene.grid
        self._scene = scene
        self._labels = _placed(labels, scene)
        self._codes = self._labels[CLASS].map(codes)
        if not any(_near(self._labels, window, self.grid) for window in self.windows(PIXELS)):
            raise RasterError(f"none of the {len(labels)} labels lies on it")

    def windows(self, pixels: int) -> Iterator[Window]:
        """Windows of about this size that cover the raster, along the blocks of the scene."""
        return self._scene.windows(pixels)

    def read(self, window: Window | None = None) -> Raster:
        """A window, or everything."""
        window = window or Window(0, 0, self.grid.columns, self.grid.rows)
        near = _near(self._labels, window, self.grid)
        shapes = list(zip(self._labels.geometry.iloc[near], self._codes.iloc[near], strict=True))
        transform = window_transform(window, self.grid.transform)
        values = np.full((window.height, window.width), np.nan, np.float32)
        if shapes:
            rasterize(shapes, out=values, transform=transform)
        return Raster(values[np.newaxis], self.bands, self.grid.crs, transform)


def spatial_blocks(points: Any, size: float) -> Any:
    """The square in which each point lies, as a text: neighbours have the same.

    Pixels near each other are alike. If a model is tested on neighbours of the pixels that it was
    trained on, it looks better than it is (Roberts et al. 2017, Ecography 40: 913-929). Whole
    blocks for training or for testing avoid that.

    Args:
        points: a GeoDataFrame of points.
        size: side of a block, in metres on the ground (of an equal-area projection).

    Returns:
        A Series of texts, such as "103_-42".
    """
    placed = points.geometry.to_crs("EPSG:6933")  # equal-area, for the whole Earth
    columns, rows = (placed.x // size).astype(int), (placed.y // size).astype(int)
    return columns.astype(str) + "_" + rows.astype(str)


def _placed(labels: Any, raster: Windowed) -> Any:
    """Labels in the CRS of a raster."""
    if not raster.grid.has_place:
        raise RasterError("the raster isn't georeferenced, so labels can't be placed on it")
    return labels.to_crs(raster.grid.crs)


def _labelled(
    raster: LazyRaster, placed: Any, pixels: int
) -> Iterator[tuple[Window, Sequence[int]]]:
    """The windows that have labels, and which."""
    for window in raster.windows(pixels):
        if near := _near(placed, window, raster.grid):
            yield window, near


def _near(placed: Any, window: Window, grid: Grid) -> Sequence[int]:
    """Which labels a window may have."""
    from shapely.geometry import box

    return sorted(placed.sindex.query(box(*bounds(window, grid.transform))))


def _centers(transform: Any, rows: Any, columns: Any) -> tuple[Any, Any]:
    a, b, c, d, e, f = tuple(transform)[:6]
    x, y = columns + 0.5, rows + 0.5
    return a * x + b * y + c, d * x + e * y + f
