"""Write Cloud-Optimized GeoTIFFs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import MemoryFile


def write_cog(
    values: npt.NDArray[Any],
    crs: CRS | None,
    transform: Affine,
    nodata: float,
    *,
    names: Sequence[str] = (),
    colours: Mapping[int, tuple[int, int, int]] | None = None,
    tags: Mapping[str, str] | None = None,
    overviews: str = "average",
) -> bytes:
    """Encode values as a Cloud-Optimized GeoTIFF; return the file's content.

    Args:
        values: shape (bands, rows, columns); the file gets their data type.
        crs: None if it is unknown; the file then has none either.
        names: a description for each band.
        colours: colour table (RGB, 0..255) of a single uint8 band.
        overviews: resampling of overviews; use "mode" or "nearest" for classes.
    """
    bands, rows, columns = values.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="COG",
            dtype=values.dtype,
            count=bands,
            height=rows,
            width=columns,
            crs=crs,
            transform=transform,
            nodata=nodata,
            compress="deflate",
            predictor="yes",
            blocksize=256,
            overview_resampling=overviews,
        ) as dataset:
            dataset.write(values)
            dataset.update_tags(**(tags or {}))
            for index, name in enumerate(names, start=1):
                dataset.set_band_description(index, name)
            if colours:
                dataset.write_colormap(1, dict(colours))
        content: bytes = memory.read()
    return content
