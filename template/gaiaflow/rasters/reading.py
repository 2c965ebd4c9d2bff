"""Open and read rasters as their files describe them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError
from rasterio.io import MemoryFile

from gaiaflow.rasters.bands import Bands
from gaiaflow.rasters.encoding import Values, encoding_of
from gaiaflow.rasters.errors import RasterError
from gaiaflow.rasters.grid import Grid, grid_of

logger = logging.getLogger(__name__)

# A path, "s3://bucket/key" in the project's store, a URL, or a file's content.
Source: TypeAlias = str | Path | bytes


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


def read(
    source: Source,
    bands: Bands | None = None,
    *,
    band_names: Sequence[str] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> Raster:
    """Read a raster of any quantity, with the file's scale, offset and nodata.

    Args:
        source: a path, "s3://bucket/key", a URL, or the content of a file.
        bands: the names of the bands to read, optionally with alternative names; None for all.
        band_names: names of all bands in the file's order, instead of the file's own.
        scale: value = stored x scale + offset, instead of the file's own.
        offset: as for `scale`.
        nodata: the stored number that means "no data", instead of the file's own.

    Raises:
        RasterError: the file can't be read as it is; the message says which argument to set.
    """
    with opened(source) as dataset:
        given = {"band_names": band_names, "scale": scale, "offset": offset, "nodata": nodata}
        encoding = encoding_of(dataset, bands, **given)  # type: ignore[arg-type]
        grid, notes = grid_of(dataset)
        say(source, notes)
        values = encoding.decode(*encoding.load(dataset))
    return Raster(values, tuple(encoding.bands), grid.crs, grid.transform)


@contextmanager
def opened(source: Source) -> Iterator[Any]:
    """Open a file, and name it in every error raised inside.

    Raises:
        RasterError: the file is unreachable or not a raster, or the block raised a RasterError.
    """
    try:
        if isinstance(source, bytes):
            with MemoryFile(source) as memory, memory.open() as dataset:
                yield _checked(dataset)
        else:
            with rasterio.open(source) as dataset:
                yield _checked(dataset)
    except RasterioIOError as error:
        raise RasterError(f"{name_of(source)}: GDAL can't read it: {error}") from error
    except RasterError as error:
        raise RasterError(f"{name_of(source)}: {error}.") from None


def say(source: Source, notes: Sequence[str]) -> None:
    """Log what was decided, as warnings because task logs show them."""
    for note in notes:
        logger.warning("%s: %s.", name_of(source), note)


def name_of(source: Source) -> str:
    """The name of a source in messages."""
    return "the raster" if isinstance(source, bytes) else str(source)


def _checked(dataset: Any) -> Any:
    if dataset.count == 0:
        inside = ", ".join(dataset.subdatasets) or "nothing"
        raise RasterError(f"it has no bands itself. Choose one of its subdatasets: {inside}")
    return dataset
