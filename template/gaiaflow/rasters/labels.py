"""Training pixels: the values of a raster where people have said what is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.features import rasterize
from rasterio.windows import Window, bounds

from gaiaflow.rasters.destination import fetched
from gaiaflow.rasters.errors import RasterError
from gaiaflow.rasters.lazy import LazyRaster
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

    if not raster.grid.has_place:
        raise RasterError("the raster has no place on the Earth, so its labels have none either")
    placed = labels.to_crs(raster.grid.crs)
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


def _labelled(
    raster: LazyRaster, placed: Any, pixels: int
) -> Iterator[tuple[Window, Sequence[int]]]:
    """The windows that have labels, and which."""
    from shapely.geometry import box

    for window in raster.windows(pixels):
        area = box(*bounds(window, raster.grid.transform))
        near = sorted(placed.sindex.query(area))
        if near:
            yield window, near


def _centers(transform: Any, rows: Any, columns: Any) -> tuple[Any, Any]:
    a, b, c, d, e, f = tuple(transform)[:6]
    x, y = columns + 0.5, rows + 0.5
    return a * x + b * y + c, d * x + e * y + f
