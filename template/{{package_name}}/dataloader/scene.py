"""Scenes: multi-band reflectance on a grid. The framework reads their files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.transform import from_origin

from gaiaflow.rasters import Raster, read_reflectance, write_cog

from ..model_pipeline.bands import OTHER_NAMES

# The sample has no location: this is a flat grid in metres, not a place on Earth.
LOCAL_GRID = 'LOCAL_CS["Scene grid",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'


def sample_scene() -> Raster:
    """The Sentinel-2 scene that ships with spyndex: 4 bands, 300 x 300 pixels of 10 m.

    It has no georeference, hence the local grid. Its dimensions are called (band, x, y), but x
    runs down the picture and y across it.
    """
    import spyndex  # only the sample needs it

    data = spyndex.datasets.open("sentinel")
    reflectance = (data.values / 10_000).astype(np.float32)
    return Raster(
        values=reflectance,
        bands=tuple(str(name) for name in data.coords["band"].values),
        crs=CRS.from_wkt(LOCAL_GRID),
        transform=from_origin(0, reflectance.shape[1] * 10, 10, 10),
    )


def open_scene(
    source: str | Path | bytes,
    *,
    band_names: Sequence[str] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> Raster:
    """Read our bands of a scene from a file, "s3://bucket/key", a URL or a file's content.

    If neither the file nor an argument says something, the rules in
    `gaiaflow/rasters/reflectance.py` decide; the log says how.

    Args:
        band_names: the names of all bands in the file's order, if it doesn't name them.
        scale, offset: reflectance = stored x scale + offset.
        nodata: the stored number that means "no data".

    Raises:
        RasterError: something can't be determined; the message names the argument to set.
    """
    return read_reflectance(
        source, OTHER_NAMES, band_names=band_names, scale=scale, offset=offset, nodata=nodata
    )


def scene_to_cog(scene: Raster) -> bytes:
    """The scene as the content of a self-describing Cloud-Optimized GeoTIFF.

    It contains reflectance as float32, with NaN as nodata and named bands: later stages read it
    with `gaiaflow.rasters.read`, without any rules.
    """
    return write_cog(scene.values, scene.crs, scene.transform, np.nan, names=scene.bands)
