"""Scenes: multi-band reflectance on a grid, from files and as Cloud-Optimized GeoTIFF."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

# Sentinel-2 products store reflectance x 10000 as integers.
QUANTIFICATION = 10_000

# For a scene of which nobody says where it lies: a flat grid in metres, not a place on Earth.
LOCAL_GRID = 'LOCAL_CS["Scene grid",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'


@dataclass(frozen=True)
class Scene:
    """A multi-band image.

    Attributes:
        reflectance: float32, shape (bands, rows, columns), about 0..1, NaN where there is no data.
        bands: the name of each band.
        crs: coordinate reference system of the grid.
        transform: from (column, row) to coordinates in `crs`.
    """

    reflectance: npt.NDArray[np.float32]
    bands: tuple[str, ...]
    crs: CRS
    transform: Affine


def sample_scene() -> Scene:
    """The Sentinel-2 scene that ships with spyndex: 4 bands, 300 x 300 pixels of 10 m.

    It comes without georeference, hence the local grid. Its dimensions are called (band, x, y),
    but the first of the two runs down the picture and the second across it.
    """
    import spyndex  # only the sample needs it

    data = spyndex.datasets.open("sentinel")
    reflectance = (data.values / QUANTIFICATION).astype(np.float32)
    return Scene(
        reflectance=reflectance,
        bands=tuple(str(name) for name in data.coords["band"].values),
        crs=CRS.from_wkt(LOCAL_GRID),
        transform=from_origin(0, reflectance.shape[1] * 10, 10, 10),
    )


def open_scene(source: str | Path | bytes) -> Scene:
    """Read a scene from a raster file, or from a file's content.

    Scale and offset are the file's own; integers without any are taken as reflectance x 10000.
    Bands are named by their descriptions, or "1", "2", ... where they have none.
    """
    if isinstance(source, bytes):
        with MemoryFile(source) as memory, memory.open() as dataset:
            return _read(dataset)
    with rasterio.open(source) as dataset:
        return _read(dataset)


def _read(dataset: Any) -> Scene:
    stored = dataset.read(masked=True)
    scales, offsets = np.array(dataset.scales), np.array(dataset.offsets)
    if stored.dtype.kind in "iu" and (scales == 1).all():
        scales = scales / QUANTIFICATION
    reflectance = stored * scales[:, None, None] + offsets[:, None, None]
    return Scene(
        reflectance=reflectance.astype(np.float32).filled(np.nan),
        bands=tuple(name or str(i) for i, name in enumerate(dataset.descriptions, start=1)),
        crs=dataset.crs or CRS.from_wkt(LOCAL_GRID),
        transform=dataset.transform,
    )


def scene_to_cog(scene: Scene) -> bytes:
    """The scene as the content of a Cloud-Optimized GeoTIFF: float32 reflectance, nodata NaN."""
    return write_cog(scene.reflectance, scene.crs, scene.transform, np.nan, names=scene.bands)


def write_cog(
    values: npt.NDArray[Any],
    crs: CRS,
    transform: Affine,
    nodata: float,
    *,
    names: tuple[str, ...] = (),
    colours: dict[int, tuple[int, int, int]] | None = None,
    tags: dict[str, str] | None = None,
    overviews: str = "average",
) -> bytes:
    """The content of a Cloud-Optimized GeoTIFF.

    Args:
        values: shape (bands, rows, columns); the data type becomes the file's.
        names: a description for each band.
        colours: colour table (RGB, 0..255) of a single uint8 band.
        overviews: how overviews are resampled; "mode" or "nearest" for classes.
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
                dataset.write_colormap(1, colours)
        content: bytes = memory.read()
    return content
