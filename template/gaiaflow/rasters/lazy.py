"""Rasters that are read window by window, and need not fit into memory."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

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

from gaiaflow.rasters.encoding import Encoding, Stored, Valid, Values, holds
from gaiaflow.rasters.errors import RasterError
from gaiaflow.rasters.grid import Grid
from gaiaflow.rasters.masks import IsClear
from gaiaflow.rasters.windows import windows_of
from gaiaflow.web import POINTERS, signed

# A path, "s3://bucket/key" in the project's store, a URL, or a file's content.
Source: TypeAlias = str | Path | bytes

# Looks at the values of a window, and at the stored numbers; raises a RasterError.
Check: TypeAlias = Callable[[Values, Stored], None]

# While a raster is open.
GDAL_OPTIONS = {
    "GDAL_CACHEMAX": 64 << 20,  # bytes of blocks; GDAL's own default is 5 % of the memory
    "GDAL_HTTP_MAX_RETRY": 5,
    "GDAL_HTTP_RETRY_DELAY": 1,  # seconds, and more each time
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
    "GDAL_HTTP_LOW_SPEED_TIME": 30,  # seconds without data
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
}
_SAMPLES = 16  # windows of a large file without overviews


class Windowed(Protocol):
    """Whatever can be read window by window."""

    @property
    def bands(self) -> tuple[str, ...]: ...

    @property
    def grid(self) -> Grid: ...

    def windows(self, pixels: int) -> Iterator[Window]: ...

    def read(self, window: Window | None = None) -> Raster: ...


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

    def windows(self, pixels: int) -> Iterator[Window]:
        """Windows of about this size that cover the raster, as those of a `LazyRaster`."""
        return windows_of(self.grid.rows, self.grid.columns, pixels=pixels)

    def read(self, window: Window | None = None) -> Raster:
        """A window, or everything; as for a `LazyRaster`."""
        if window is None:
            return self
        rows, columns = window.toslices()
        transform = window_transform(window, self.transform)
        return Raster(self.values[:, rows, columns], self.bands, self.crs, transform)


@dataclass(frozen=True)
class Layer:
    """Some bands of one file.

    Attributes:
        encoding: which bands, and what their numbers mean.
        grid: the file's own.
        block: rows and columns of the blocks in which the file is stored.
        resampling: onto another grid.
    """

    source: Source
    encoding: Encoding
    grid: Grid
    block: tuple[int, int]
    resampling: Resampling = Resampling.nearest


class LazyRaster:
    """Bands on one grid, from one file or several. Nothing is read before `read`.

    Use it in a `with` block. Threads may share it: each gets files of its own.

    Attributes:
        layers: the files.
        grid: the common grid of all bands.
        mask: a layer of which `is_clear` tells the pixels that count.
        check: what to examine in each window.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        grid: Grid | None = None,
        *,
        mask: Layer | None = None,
        is_clear: IsClear | None = None,
        check: Check | None = None,
    ) -> None:
        """Describe a raster; by default, its grid is that of the first layer."""
        self.layers = tuple(layers)
        self.grid: Grid = grid or self.layers[0].grid
        self.mask, self.is_clear, self.check = mask, is_clear, check
        bands = (name for layer in self.layers for name in layer.encoding.bands)
        self.bands: tuple[str, ...] = tuple(bands)
        self._open_files = ExitStack()
        self._lock = threading.Lock()
        self._local = threading.local()

    def __enter__(self) -> LazyRaster:
        remote = any("://" in name_of(layer.source) for layer in self.layers)
        self._open_files.enter_context(gdal(remote))
        return self

    def __exit__(self, *_: object) -> None:
        self._open_files.close()
        self._local = threading.local()

    def windows(self, pixels: int) -> Iterator[Window]:
        """Windows of about this size that cover the raster, along the blocks of its first file."""
        block = self.layers[0].block
        return windows_of(self.grid.rows, self.grid.columns, block, pixels)

    def read(self, window: Window | None = None) -> Raster:
        """Read a window, or everything.

        Raises:
            RasterError: a file can't be read, or its values can't be what they should be.
        """
        values = self._read(window, None)
        transform = self.grid.transform
        if window is not None:
            transform = window_transform(window, transform)
        return Raster(values, self.bands, self.grid.crs, transform)

    def preview(self, side: int = 1024) -> Raster:
        """The whole raster in at most so many rows and columns, from overviews if it has some.

        Raises:
            RasterError: as for `read`.
        """
        rows, columns = self.grid.rows, self.grid.columns
        step = max(rows / side, columns / side, 1.0)
        shape = max(round(rows / step), 1), max(round(columns / step), 1)
        values = self._read(None, shape)
        a, b, c, d, e, f = tuple(self.grid.transform)[:6]
        across, down = columns / shape[1], rows / shape[0]
        transform = Affine(a * across, b * down, c, d * across, e * down, f)
        return Raster(values, self.bands, self.grid.crs, transform)

    def sample(self, pixels: int) -> tuple[Stored, Valid]:
        """The stored numbers of at most about this many pixels, and whether each is valid.

        All of them if they are so few; else from overviews, or if there are none from windows all
        over the raster. Shape (bands, rows, columns), without their places.
        """
        rows, columns = self.grid.rows, self.grid.columns
        if rows * columns <= pixels:
            return self._stacked(None, None)
        if self._dataset(self.layers[0])[0].overviews(1):
            step = math.ceil(math.sqrt(rows * columns / pixels))
            return self._stacked(None, (math.ceil(rows / step), math.ceil(columns / step)))
        windows = list(self.windows(pixels // _SAMPLES))
        chosen = windows[:: math.ceil(len(windows) / _SAMPLES)]
        area = max(window.height * window.width for window in chosen)
        step = math.ceil(math.sqrt(area * len(chosen) / pixels))  # blocks may be large
        found = [
            self._stacked(window, (math.ceil(window.height / step), math.ceil(window.width / step)))
            for window in chosen
        ]
        flat = [[part.reshape(len(part), 1, -1) for part in pair] for pair in found]
        stored, valid = (np.concatenate(parts, axis=2) for parts in zip(*flat, strict=True))
        return stored, valid

    def _read(self, window: Window | None, shape: tuple[int, int] | None) -> Values:
        loaded = [self._load(layer, window, shape) for layer in self.layers]
        parts = [self._values(*pair) for pair in zip(self.layers, loaded, strict=True)]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        for fill in self.layers[0].encoding.fills:  # in all bands, or it is a value
            filled = [holds(stored, fill) for stored, _ in loaded]
            values[:, np.logical_and.reduce(filled)] = np.nan
        if self.check:
            self._examine(values, loaded)
        if self.mask and self.is_clear:
            stored, valid = self._load(self.mask, window, shape)
            values[:, ~(self.is_clear(stored[0]) & valid[0])] = np.nan
        return values

    def _examine(self, values: Values, loaded: Sequence[tuple[Stored, Valid]]) -> None:
        first = 0
        for layer, (stored, _) in zip(self.layers, loaded, strict=True):
            with named(layer.source):
                assert self.check
                self.check(values[first : first + len(stored)], stored)
            first += len(stored)

    def _stacked(
        self, window: Window | None, shape: tuple[int, int] | None
    ) -> tuple[Stored, Valid]:
        found = [self._load(layer, window, shape) for layer in self.layers]
        stored, valid = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return stored, valid

    def _values(self, layer: Layer, loaded: tuple[Stored, Valid]) -> Values:
        return replace(layer.encoding, fills=()).decode(*loaded)

    def _load(
        self, layer: Layer, window: Window | None, shape: tuple[int, int] | None = None
    ) -> tuple[Stored, Valid]:
        with named(layer.source):
            dataset, encoding = self._dataset(layer)
            return encoding.load(dataset, window, shape)

    def _dataset(self, layer: Layer) -> tuple[Any, Encoding]:
        """This thread's own handle of a layer's file, and how to read it."""
        mine: dict[int, Any] = self._local.__dict__.setdefault("datasets", {})
        if id(layer) not in mine:
            with ExitStack() as stack:
                dataset, encoding = stack.enter_context(_opened(layer.source)), layer.encoding
                if layer.grid != self.grid:
                    dataset = warped(dataset, layer, self.grid)
                    stack.callback(dataset.close)
                    if dataset.count > len(dataset.src_dataset.indexes):
                        encoding = replace(encoding, alpha=dataset.count)
                with self._lock:
                    self._open_files.push(stack.pop_all())
            mine[id(layer)] = dataset, encoding
        return mine[id(layer)]  # type: ignore[no-any-return]


def warped(dataset: Any, layer: Layer, grid: Grid) -> WarpedVRT:
    """A file as seen on another grid. It has one more band, alpha, if nothing says "no data"."""
    numbers = (*layer.encoding.nodata, *layer.encoding.fills)
    known = [number for number in numbers if number is not None]
    nodata = {"src_nodata": known[0], "nodata": known[0]} if known else {"add_alpha": True}
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
    with named(source), gdal(remote="://" in name_of(source)), _opened(source) as dataset:
        yield dataset


def gdal(remote: bool) -> rasterio.Env:
    """How GDAL reads, in all threads of this process."""
    # It would list the folders of remote files for files beside them, such as masks.
    more = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"} if remote else {}
    return rasterio.Env(**GDAL_OPTIONS, **more)


@contextmanager
def _opened(source: Source) -> Iterator[Any]:
    with ExitStack() as stack:
        # Not as `with dataset`: that needs the thread that has opened it to close it.
        if isinstance(source, bytes):
            memory = MemoryFile(source)
            stack.callback(memory.close)
            dataset = memory.open()
        else:
            dataset = rasterio.open(signed(str(source)))
        stack.callback(dataset.close)
        if str(source).startswith(("http://", "https://")) and dataset.driver in POINTERS:
            raise RasterError(f"it is a {dataset.driver}, which could name files of this computer")
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
        # Only for what is elsewhere, trying again may help: the runner looks at causes.
        cause = error if "://" in name_of(source) else None
        raise RasterError(f"{name_of(source)}: GDAL can't read it: {error}") from cause
    except RasterError as error:
        said = str(error).rstrip(".")
        raise RasterError(f"{name_of(source)}: {said}.") from error.__cause__


def name_of(source: Source) -> str:
    """The name of a source in messages."""
    return "the raster" if isinstance(source, bytes) else str(source)
