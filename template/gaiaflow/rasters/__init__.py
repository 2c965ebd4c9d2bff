"""Read rasters as their files describe them. For code that runs in the project's environment.

    from gaiaflow.rasters import read_reflectance

    scene = read_reflectance("data/scene.tif", ["B02", "B03", "B04", "B08"])

What a file says is used. If it leaves something open, either a rule decides, which the log states,
or a `RasterError` names the argument to set.
"""

from gaiaflow.rasters.applying import Applied, apply
from gaiaflow.rasters.bands import Bands
from gaiaflow.rasters.cog import Description, write_cog
from gaiaflow.rasters.errors import RasterError
from gaiaflow.rasters.grid import Grid
from gaiaflow.rasters.items import open_item, read_item
from gaiaflow.rasters.labels import LabelMask, read_labels, sample_labels, spatial_blocks
from gaiaflow.rasters.lazy import LazyRaster, Raster
from gaiaflow.rasters.predicting import ImageFunction, function_of
from gaiaflow.rasters.reading import open_raster, read
from gaiaflow.rasters.reflectance import is_plausible, open_reflectance, read_reflectance
from gaiaflow.rasters.samples import PixelSample, sample_pixels

__all__ = [
    "Applied",
    "Bands",
    "Description",
    "Grid",
    "ImageFunction",
    "LabelMask",
    "LazyRaster",
    "PixelSample",
    "Raster",
    "RasterError",
    "apply",
    "function_of",
    "is_plausible",
    "open_item",
    "open_raster",
    "open_reflectance",
    "read",
    "read_item",
    "read_labels",
    "read_reflectance",
    "sample_labels",
    "sample_pixels",
    "spatial_blocks",
    "write_cog",
]
