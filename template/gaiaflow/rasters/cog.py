"""Write Cloud-Optimized GeoTIFFs: whole, or window by window."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.shutil import copy
from rasterio.windows import Window

from gaiaflow.rasters.errors import RasterError
from gaiaflow.rasters.grid import Grid
from gaiaflow.rasters.windows import BLOCK

# Resampling that keeps numbers as they are, for those that can't be averaged.
_OF_CLASSES = ("mode", "nearest")


@dataclass(frozen=True)
class Description:
    """What a file says about its values.

    Attributes:
        nodata: the stored number that means "no data"; NaN becomes it, too.
        dtype: of the stored numbers; default: that of the values.
        scale, offset: value = stored x scale + offset.
        names: a description for each band.
        colours: colour table (RGB, 0..255) of a single uint8 band.
        overviews: resampling of overviews; use "mode" or "nearest" for classes.
    """

    nodata: float
    dtype: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    names: Sequence[str] = ()
    colours: Mapping[int, tuple[int, int, int]] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    overviews: str = "average"

    def stored(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The numbers that stand for values; the nearest possible ones if they are too large."""
        numbers, kind = values, np.dtype(self.dtype or values.dtype)
        if self.dtype is not None:
            numbers = (values - self.offset) / self.scale
            if kind.kind in "iu":
                limits = np.iinfo(kind)
                numbers = np.rint(numbers).clip(limits.min, limits.max)
        if values.dtype.kind == "f" and not np.isnan(self.nodata):
            numbers = np.where(np.isnan(values), self.nodata, numbers)
        return numbers.astype(kind, copy=False)


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
    grid = Grid(crs, transform, rows, columns)
    description = Description(
        nodata, names=names, colours=colours, tags=tags or {}, overviews=overviews
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "values.tif")
        with writing_cog(path, grid, bands, values.dtype.name, description) as file:
            file.write(values)
        return path.read_bytes()


class CogFile:
    """A Cloud-Optimized GeoTIFF that is being written."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def write(self, values: npt.NDArray[Any], window: Window | None = None) -> None:
        """Write values, shape (bands, rows, columns), into a window or everywhere.

        Raises:
            RasterError: it can't be written, such as on a full disk.
        """
        with _writing(Path(self._dataset.name).parent):
            self._dataset.write(values, window=window)


@contextmanager
def writing_cog(
    path: Path, grid: Grid, bands: int, dtype: str, description: Description
) -> Iterator[CogFile]:
    """Write a Cloud-Optimized GeoTIFF window by window. It exists only if the block succeeds.

    A COG begins with its overviews, so the values wait in a file beside it.

    Raises:
        RasterError: it can't be written, such as on a full disk.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as name:
        folder = Path(name)
        with rasterio.open(
            folder / "plain.tif",
            "w",
            driver="GTiff",
            dtype=dtype,
            count=bands,
            height=grid.rows,
            width=grid.columns,
            crs=grid.crs,
            transform=grid.transform,
            nodata=description.nodata,
            tiled=True,
            blockxsize=BLOCK,
            blockysize=BLOCK,
            compress="lzw",
            bigtiff="if_safer",
        ) as dataset:
            yield CogFile(dataset)
            with _writing(folder):
                _describe(dataset, description)
                dataset.close()
        with _writing(folder):
            copy(
                folder / "plain.tif",
                folder / "cog.tif",
                driver="COG",
                compress="deflate",
                predictor="no" if description.overviews in _OF_CLASSES else "yes",
                blocksize=BLOCK,
                overview_resampling=description.overviews,
                num_threads="all_cpus",
                bigtiff="if_safer",
            )
        (folder / "cog.tif").replace(path)


def _describe(dataset: Any, description: Description) -> None:
    dataset.update_tags(**description.tags)
    if (description.scale, description.offset) != (1.0, 0.0):
        dataset.scales = (description.scale,) * dataset.count
        dataset.offsets = (description.offset,) * dataset.count
    for index, name in enumerate(description.names, start=1):
        dataset.set_band_description(index, name)
    if description.colours:
        dataset.write_colormap(1, dict(description.colours))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say where it was if GDAL fails."""
    try:
        yield
    except (TypeError, ValueError):  # wrong values
        raise
    except Exception as error:  # GDAL's errors have no common kind
        place = next(parent for parent in folder.parents if not parent.name.startswith("."))
        free = shutil.disk_usage(place).free / 1e6
        raise RasterError(
            f"{place}: the raster can't be written there, where {free:,.0f} MB are free: "
            f"{error.__cause__ or error}. For what goes to the store, TMPDIR can name another place"
        ) from OSError(str(error))  # trying again may help
