"""What benchmarks/tile.py measures, each in a process of its own, in the project's environment.

    python -m benchmarks.tile_work WAY SOURCE DESTINATION

Prints seconds of work (imports and reading the model excluded) and the peak of resident memory in
bytes, as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflow.rasters import (
    Description,
    apply,
    function_of,
    open_reflectance,
    read_reflectance,
    write_cog,
)

BANDS = ("B02", "B03", "B04", "B08")
CLASSES = {"Urban": 1, "Vegetation": 2, "Water": 3}
OUT = Description(nodata=0, overviews="mode")


def make(size: int, path: Path) -> None:
    """Write a tile of Sentinel-2: the sample scene again and again, with noise so that it differs."""
    import rasterio
    import spyndex
    from rasterio.transform import from_origin

    scene = spyndex.datasets.open("sentinel").values.astype("uint16")
    wide = np.concatenate([scene, scene[:, :, ::-1]], axis=2)
    high = np.concatenate([wide, wide[:, ::-1]], axis=1)
    step = high.shape[1]
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 4, "height": size, "width": size}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    profile |= {"crs": "EPSG:32632", "transform": from_origin(5e5, 5.4e6, 10, 10), "predictor": 2}
    random = np.random.default_rng(0)
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.descriptions = BANDS
        for row in range(0, size, step):
            rows = min(step, size - row)
            strip = np.tile(high, (1, 1, size // step + 1))[:, :rows, :size]
            noisy = strip + random.integers(-8, 9, strip.shape)
            dataset.write(noisy.clip(1).astype("uint16"), window=((row, row + rows), (0, size)))


def floor(source: Path, destination: Path) -> None:
    """Read and write, and nothing between."""
    with open_reflectance(source, BANDS) as raster:
        apply(lambda values: (values[0] > 0.05).astype(np.uint8), raster, destination, OUT)


def ours(source: Path, destination: Path, model: Any) -> None:
    with open_reflectance(source, BANDS) as raster:
        apply(function_of(model, raster.bands, CLASSES), raster, destination, OUT)


def old(source: Path, destination: Path, model: Any) -> None:
    """As 0.5 did: the whole scene as a table, its classes as text."""
    import pandas as pd

    scene = read_reflectance(source, BANDS)
    valid = np.isfinite(scene.values).all(axis=0)
    codes = np.zeros(valid.shape, np.uint8)
    pixels = pd.DataFrame(scene.values[:, valid].T.astype(float), columns=scene.bands)
    codes[valid] = pd.Series(np.asarray(model.predict(pixels))).map(CLASSES)
    destination.write_bytes(write_cog(codes[None], scene.crs, scene.transform, 0, overviews="mode"))
