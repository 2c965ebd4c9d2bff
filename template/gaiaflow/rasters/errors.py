"""The error for files that leave something open."""

from __future__ import annotations


class RasterError(ValueError):
    """A raster can't be used as it is. The message says why, and which argument to set."""
