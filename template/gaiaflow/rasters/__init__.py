"""Read rasters as their files describe them. For code that runs in the project's environment.

    from gaiaflow.rasters import read_reflectance

    scene = read_reflectance("data/scene.tif", ["B02", "B03", "B04", "B08"])

What a file says is used. If it leaves something open, either a rule decides, which the log states,
or a `RasterError` names the argument to set.
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
