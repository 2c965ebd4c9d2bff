"""Pixels at random, of a raster of any size."""

from __future__ import annotations

import threading
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from gaiaflow.rasters.encoding import Values
from gaiaflow.rasters.lazy import LazyRaster, Raster
from gaiaflow.rasters.predicting import Function, ImageFunction
from gaiaflow.rasters.windows import PIXELS

COUNT = 2_000


class PixelSample:
    """Takes some pixels of each window that passes: a random sample of the whole, read only once.

        pixels = PixelSample(raster)
        apply(pixels.of(function), raster, "map.tif", description)
        pixels.table

    Each pixel is as likely as any other, so neighbours are rare, and the same raster always gives
    the same pixels. Threads may share it.
    """

    def __init__(self, raster: Raster | LazyRaster, count: int = COUNT) -> None:
        """Expect all windows of this raster, and take about so many of its pixels."""
        self._bands = list(raster.bands)
        self._share = min(count / (raster.grid.rows * raster.grid.columns), 1)
        self._parts: list[tuple[int, Values]] = []
        self._lock = threading.Lock()

    def of(self, function: Function) -> Function:
        """The same function, whose pixels are sampled; for `apply`.

        With an overlap, it must be an `ImageFunction`: windows share pixels then.
        """
        if isinstance(function, ImageFunction):
            return replace(function, watch=self.take)

        def sampled(values: Values) -> Any:
            self.take(values)
            return function(values)

        return sampled

    def take(self, values: Values) -> None:
        """Take pixels of a window, shape (bands, rows, columns)."""
        pixels = values.reshape(len(values), -1)
        seed = zlib.crc32(pixels[0].tobytes())
        random = np.random.default_rng(seed)
        total = pixels.shape[1]
        chosen = random.choice(total, random.binomial(total, self._share), replace=False)
        part = pixels[:, chosen]
        with self._lock:
            self._parts.append((seed, part))

    @property
    def table(self) -> pd.DataFrame:
        """A row for each pixel, a column for each band (float32); NaN where it has no data."""
        parts = [part for _, part in sorted(self._parts, key=lambda found: found[0])]
        empty = np.empty((len(self._bands), 0), np.float32)
        return pd.DataFrame(np.concatenate([empty, *parts], axis=1).T, columns=self._bands)


def sample_pixels(raster: Raster | LazyRaster, count: int = COUNT) -> pd.DataFrame:
    """About so many pixels at random, as a `PixelSample` has them; reads the whole raster."""
    sample = PixelSample(raster, count)
    for window in raster.windows(PIXELS):
        sample.take(raster.read(window).values)
    return sample.table
