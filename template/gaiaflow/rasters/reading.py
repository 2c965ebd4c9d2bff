"""Open and read rasters as their files describe them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from gaiaflow.rasters.bands import Bands
from gaiaflow.rasters.encoding import encoding_of
from gaiaflow.rasters.grid import grid_of
from gaiaflow.rasters.lazy import Layer, LazyRaster, Raster, Source, name_of, opened

logger = logging.getLogger(__name__)


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
    given = {"band_names": band_names, "scale": scale, "offset": offset, "nodata": nodata}
    with open_raster(source, bands, **given) as raster:  # type: ignore[arg-type]
        return raster.read()


def open_raster(
    source: Source,
    bands: Bands | None = None,
    *,
    band_names: Sequence[str] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> LazyRaster:
    """Open a raster to read it window by window; the arguments are those of `read`.

    Raises:
        RasterError: as for `read`.
    """
    with opened(source) as dataset:
        encoding = encoding_of(
            dataset, bands, band_names=band_names, scale=scale, offset=offset, nodata=nodata
        )
        grid, notes = grid_of(dataset)
        say(source, notes)
        return LazyRaster([Layer(source, encoding, grid, block_of(dataset))])


def block_of(dataset: Any) -> tuple[int, int]:
    """Rows and columns of the blocks in which a file is stored."""
    rows, columns = dataset.block_shapes[0]
    return int(rows), int(columns)


def say(source: Source, notes: Sequence[str]) -> None:
    """Log what was decided, as warnings because task logs show them."""
    for note in notes:
        logger.warning("%s: %s.", name_of(source), note)
