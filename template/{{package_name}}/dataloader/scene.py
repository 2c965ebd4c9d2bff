"""Scenes: multi-band reflectance on a grid. The framework reads their files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.transform import from_origin

from gaiaflow.rasters import Applied, Description, LazyRaster, Raster, apply, open_reflectance

from ..model_pipeline.bands import BANDS, OTHER_NAMES

DATA = Path(__file__).parents[2] / "data"

# The sample has no location: this is a flat grid in metres, not a place on Earth.
LOCAL_GRID = 'LOCAL_CS["Scene grid",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'

# How we store scenes: reflectance x 10000, as Sentinel-2's own files.
STORED = Description(nodata=-32768, dtype="int16", scale=1e-4, names=BANDS)


def find_data(name: str) -> str:
    """The path of a file, in data/ or elsewhere; addresses such as s3:// and https:// stay.

    Raises:
        LookupError: the file does not exist; the message lists the files in data/.
    """
    if "://" in name:
        return name
    for path in (DATA / name, DATA.parent / name):
        if path.exists():
            return str(path)
    there = ", ".join(sorted(path.name for path in DATA.glob("*"))) or "nothing"
    raise LookupError(
        f"There is no {name} in {DATA}, which has {there}. Put it there, or into the object store "
        "if the task runs on another computer, and pass s3://bucket/key."
    )


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
) -> LazyRaster:
    """Open our bands of a scene: a file, "s3://bucket/key", a URL or a file's content.

    If neither the file nor an argument says something, the rules in
    `gaiaflow/rasters/reflectance.py` decide; the log says how.

    Args:
        band_names: the names of all bands in the file's order, if it doesn't name them.
        scale, offset: reflectance = stored x scale + offset.
        nodata: the stored number that means "no data".

    Raises:
        RasterError: something can't be determined; the message names the argument to set.
    """
    return open_reflectance(
        source, OTHER_NAMES, band_names=band_names, scale=scale, offset=offset, nodata=nodata
    )


def store_scene(scene: Raster | LazyRaster, destination: str | Path) -> Applied:
    """Store a scene as a self-describing Cloud-Optimized GeoTIFF, window by window.

    It names its bands and says how its numbers become reflectance: later stages read it with
    `gaiaflow.rasters.open_raster`, without any rules.
    """
    return apply(lambda values: values, scene, destination, STORED)
