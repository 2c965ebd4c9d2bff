"""Apply a function or a model to rasters larger than memory."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from gaiaflow.rasters.cog import Description, writing_cog
from gaiaflow.rasters.cores import cores, threads
from gaiaflow.rasters.destination import delivered
from gaiaflow.rasters.errors import RasterError
from gaiaflow.rasters.grid import Grid
from gaiaflow.rasters.lazy import Windowed
from gaiaflow.rasters.predicting import Function, ImageFunction
from gaiaflow.rasters.windows import PIXELS, grown

logger = logging.getLogger(__name__)

_SAY_EVERY = 10.0  # seconds

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Applied:
    """What `apply` has made.

    Attributes:
        destination: where it is.
        grid: of the result.
        counts: how many pixels have each value, for one band of uint8; without nodata.
    """

    destination: str
    grid: Grid
    counts: dict[int, int]


def apply(
    function: Function,
    raster: Windowed,
    destination: str | Path,
    description: Description,
    *,
    overlap: int | None = None,
    pixels: int | None = None,
    workers: int | None = None,
) -> Applied:
    """Apply a function to each window of a raster, and write the result as a COG.

    All cores work; memory depends on the size of windows, not on that of the raster.

    Args:
        function: gets float32 of shape (bands, rows, columns), NaN where there is no data, and
            returns an array of shape (rows, columns) or (bands, rows, columns). Threads call it at
            the same time. Pixels that lack a band get nodata, whatever it returns for them.
        raster: as `open_raster` or `open_reflectance` open it, one in memory, or a `LabelMask`.
        destination: a path, or "s3://bucket/key". Nothing is there before all of it is.
        description: nodata, names, colours and tags of the result.
        overlap: pixels around a window that the function gets too, for models that look at
            neighbours. Default: what an `ImageFunction` says, else none.
        pixels: about how many a window has. Default: what an `ImageFunction` says, else a million.
        workers: windows at the same time; default: the cores that this process may use.

    Raises:
        RasterError: the raster can't be read, or the function returns something else.
    """

    of_images = ImageFunction(function, 0, PIXELS)
    if isinstance(function, ImageFunction):
        of_images = function
    margin = of_images.overlap if overlap is None else overlap
    windows = raster.windows(pixels or of_images.pixels)

    def result_of(window: Window) -> npt.NDArray[Any]:
        larger, (row, column) = grown(window, margin, raster.grid.rows, raster.grid.columns)
        values = raster.read(larger).values
        found = _checked(np.asarray(function(values)), values.shape)
        rows, columns = slice(row, row + window.height), slice(column, column + window.width)
        if of_images.watch:
            of_images.watch(values[:, rows, columns])
        stored = description.stored(found[:, rows, columns])
        lacking = np.isnan(values[:, rows, columns]).any(axis=0)
        if lacking.any():
            stored = np.where(lacking, np.array(description.nodata, stored.dtype), stored)
        return stored

    workers = workers or cores()
    counts: Counter[int] = Counter()
    total, done, said = raster.grid.rows * raster.grid.columns, 0, time.monotonic()
    with ExitStack() as stack:
        path = stack.enter_context(delivered(destination))
        pool = stack.enter_context(threads(workers))
        file = None
        for window, values in ordered(pool, result_of, windows, workers + 1):
            if file is None:
                bands, dtype = len(values), values.dtype.name
                file = stack.enter_context(
                    writing_cog(path, raster.grid, bands, dtype, description)
                )
            file.write(values, window)
            if bands == 1 and dtype == "uint8":
                counts.update(dict(enumerate(np.bincount(values.ravel()).tolist())))
            done += window.height * window.width
            if time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                logger.info("%s: %.0f %%", destination, 100 * done / total)
    kept = {number: count for number, count in counts.items() if count}
    kept.pop(int(description.nodata) if np.isfinite(description.nodata) else -1, None)
    return Applied(str(destination), raster.grid, kept)


def ordered(
    pool: ThreadPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int,
) -> Iterator[tuple[Item, Result]]:
    """Each item with its result, in order; only so many are computed before they are taken."""
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) > ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def _checked(found: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A result as (bands, rows, columns), in a type that files can hold."""
    if found.ndim == 2:
        found = found[np.newaxis]
    if found.ndim != 3 or found.shape[1:] != shape[1:]:
        raise RasterError(
            f"the function got {shape} and returned {found.shape}: it must return "
            f"{shape[1:]} or (bands, {shape[1]}, {shape[2]})"
        )
    if found.dtype.kind not in "iuf":
        raise RasterError(f"the function returned {found.dtype}, and must return numbers")
    return found
