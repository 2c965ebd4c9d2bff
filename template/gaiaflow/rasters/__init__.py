"""Rasters, as their files describe them. For the project's own code, in the project's environment.

    from gaiaflow.rasters import read_reflectance

    scene = read_reflectance("data/scene.tif", ["B02", "B03", "B04", "B08"])

What a file says is used. What it does not say is decided by a rule, which the log states, or
refused with a `RasterError` that names the argument that decides it.
"""

from gaiaflow.rasters.bands import Bands
from gaiaflow.rasters.cog import write_cog
from gaiaflow.rasters.errors import RasterError
from gaiaflow.rasters.grid import Grid
from gaiaflow.rasters.reading import Raster, read
from gaiaflow.rasters.reflectance import is_plausible, read_reflectance

__all__ = [
    "Bands",
    "Grid",
    "Raster",
    "RasterError",
    "is_plausible",
    "read",
    "read_reflectance",
    "write_cog",
]
