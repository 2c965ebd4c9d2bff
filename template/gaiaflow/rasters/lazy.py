"""Rasters that are read window by window, and need not fit into memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioIOError
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

from gaiaflow.rasters.encoding import Encoding, Stored, Values
from gaiaflow.rasters.errors import RasterError
from gaiaflow.rasters.grid import Grid
from gaiaflow.rasters.windows import windows_of

# A path, "s3://bucket/key" in the project's store, a URL, or a file's content.
Source: TypeAlias = str | Path | bytes

# Looks at the values of a window, and at the stored numbers; raises a RasterError.
Check: TypeAlias = Callable[[Values, Stored], None]


@dataclass(frozen=True)
class Raster:
    """Values on a grid.

    Attributes:
        values: float32, shape (bands, rows, columns), NaN where there is no data.
        bands: the name of each band.
        crs: coordinate reference system; None if unknown.
        transform: from (column, row) to coordinates in `crs`.
    """

    values: Values
    bands: tuple[str, ...]
    crs: CRS | None
    transform: Affine

    @property
    def grid(self) -> Grid:
        """The position and size of the pixels."""
        _, rows, columns = self.values.shape
        return Grid(self.crs, self.transform, rows, columns)


@dataclass(frozen=True)
class Layer:
    """Some bands of one file.

    Attributes:
        encoding: which bands, and what their numbers mean.
        grid: the file's own.
        resampling: onto another grid.
        check: what to examine in each window.
    """

    source: Source
    encoding: Encoding
    grid: Grid
    resampling: Resampling = Resampling.nearest
    check: Check | None = None


class LazyRaster:
    """Bands on one grid, from one file or several. Nothing is read before `read`.

    Use it in a `with` block. Threads may share it: each gets files of its own.
    """

    def __init__(
        self, layers: Sequence[Layer], grid: Grid | None = None, block: tuple[int, int] = (1, 1)
    ) -> None:
        """Describe a raster.

        Args:
            grid: the common grid; default: that of the first layer.
            block: rows and columns of the blocks in which the file is stored.
        """
        self.layers = tuple(layers)
        self.grid = grid or self.layers[0].grid
        self.block = block
        self.bands = tuple(name for layer in self.layers for name in layer.encoding.bands)
        self._open_files = ExitStack()
        self._lock = threading.Lock()
        self._local = threading.local()

    def __enter__(self) -> LazyRaster:
        return self

    def __exit__(self, *_: object) -> None:
        self._open_files.close()

    def windows(self, pixels: int) -> Iterator[Window]:
        """Windows of about this size that cover the raster, along the blocks of its file."""
        return windows_of(self.grid.rows, self.grid.columns, self.block, pixels)

    def read(self, window: Window | None = None) -> Raster:
        """Read a window, or everything.

        Raises:
            RasterError: a file can't be read, or its values can't be what they should be.
        """
        parts = [self._values(index, window) for index in range(len(self.layers))]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        transform = self.grid.transform
        if window is not None:
            transform = window_transform(window, transform)
        return Raster(values, self.bands, self.grid.crs, transform)

    def _values(self, index: int, window: Window | None) -> Values:
        layer = self.layers[index]
        with named(layer.source):
            stored, valid = layer.encoding.load(self._dataset(index), window)
            values = layer.encoding.decode(stored, valid)
            if layer.check:
                layer.check(values, stored)
        return values

    def _dataset(self, index: int) -> Any:
        """This thread's own handle of a layer's file."""
        mine: dict[int, Any] = self._local.__dict__.setdefault("datasets", {})
        if index not in mine:
            layer = self.layers[index]
            with ExitStack() as stack:
                dataset = stack.enter_context(_opened(layer.source))
                if layer.grid != self.grid:
                    dataset = warped(dataset, layer, self.grid)
                    stack.callback(dataset.close)
                with self._lock:
                    self._open_files.push(stack.pop_all())
            mine[index] = dataset
        return mine[index]


def warped(dataset: Any, layer: Layer, grid: Grid) -> WarpedVRT:
    """A file as seen on another grid."""
    known = [number for number in (*layer.encoding.nodata, *layer.encoding.fills) if number is not None]
    nodata = {"src_nodata": known[0], "nodata": known[0]} if known else {}
    return WarpedVRT(
        dataset,
        src_crs=layer.grid.crs,
        src_transform=layer.grid.transform,
        crs=grid.crs,
        transform=grid.transform,
        height=grid.rows,
        width=grid.columns,
        resampling=layer.resampling,
        **nodata,
    )


@contextmanager
def opened(source: Source) -> Iterator[Any]:
    """Open a file, and name it in every error raised inside.

    Raises:
        RasterError: the file is unreachable or not a raster, or the block raised a RasterError.
    """
    with named(source), _opened(source) as dataset:
        yield dataset


@contextmanager
def _opened(source: Source) -> Iterator[Any]:
    with ExitStack() as stack:
        # Not as `with dataset`: that needs the thread that has opened it to close it.
        if isinstance(source, bytes):
            memory = MemoryFile(source)
            stack.callback(memory.close)
            dataset = memory.open()
        else:
            dataset = rasterio.open(source)
        stack.callback(dataset.close)
        if dataset.count == 0:
            inside = ", ".join(dataset.subdatasets) or "nothing"
            raise RasterError(f"it has no bands itself. Choose one of its subdatasets: {inside}")
        yield dataset


@contextmanager
def named(source: Source) -> Iterator[None]:
    """Name a file in every error raised inside."""
    try:
        yield
    except RasterioIOError as error:
        raise RasterError(f"{name_of(source)}: GDAL can't read it: {error}") from error
    except RasterError as error:
        raise RasterError(f"{name_of(source)}: {error}.") from None


def name_of(source: Source) -> str:
    """The name of a source in messages."""
    return "the raster" if isinstance(source, bytes) else str(source)
