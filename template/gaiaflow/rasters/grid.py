"""The position and size of a raster's pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from affine import Affine
from rasterio import warp
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.transform import from_gcps

from gaiaflow.rasters.errors import RasterError

EARTH_RADIUS, ECCENTRICITY_2 = 6_378_137.0, 0.006_694_38  # WGS 84: at the equator, in metres
NEAR = 0.5  # pixels by which a fitted transform may miss ground control points


@dataclass(frozen=True)
class Grid:
    """The grid of a raster.

    Attributes:
        crs: coordinate reference system; None if unknown.
        transform: from (column, row) to coordinates in `crs`.
        rows, columns: size in pixels.
    """

    crs: CRS | None
    transform: Affine
    rows: int
    columns: int

    @property
    def is_north_up(self) -> bool:
        """Whether rows run from north to south and columns from west to east."""
        return bool(self.transform.is_rectilinear and self.transform.a > 0 > self.transform.e)

    @property
    def has_place(self) -> bool:
        """Whether it lies somewhere on the Earth, and not on a plane of its own."""
        return self.crs is not None and bool(self.crs.is_geographic or self.crs.is_projected)

    @property
    def corners(self) -> tuple[tuple[float, float], ...]:
        """The outermost corners in `crs`, around the grid from its first pixel down."""
        pixels = ((0, 0), (0, self.rows), (self.columns, self.rows), (self.columns, 0))
        return tuple(_at(self.transform, *corner) for corner in pixels)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north of the outermost corners, in `crs`."""
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def projected(self, crs: CRS | str | None = None, resolution: float | None = None) -> Grid:
        """A north-up grid of the same area, with corners on multiples of the resolution.

        Args:
            crs: default: the same.
            resolution: side of a pixel in units of `crs`; default: about the same on the ground.

        Raises:
            RasterError: this grid has no place on the Earth, or no part of it lies in `crs`.
        """
        if self.crs is None:
            raise RasterError("it has no coordinate reference system, so it can't be projected")
        target = CRS.from_user_input(crs) if crs is not None else self.crs
        try:
            transform, columns, rows = warp.calculate_default_transform(
                self.crs, target, self.columns, self.rows, *self.bounds, resolution=resolution
            )
        except (CRSError, RasterioError) as error:
            raise RasterError(f"it can't be projected to {target}: {error}") from error
        side = resolution or transform.a
        transform, columns, rows = warp.aligned_target(transform, columns, rows, (side, side))
        return Grid(target, transform, rows, columns)

    @property
    def pixel_metres(self) -> tuple[float, float] | None:
        """Width and height on the ground of the pixel in the middle; None if unknown.

        Measured on the Earth, so correct for degrees, feet, rotated grids and Web Mercator too.
        """
        if self.crs is None:
            return None
        column, row = self.columns / 2, self.rows / 2
        points = [_at(self.transform, column + x, row + y) for x, y in ((0, 0), (1, 0), (0, 1))]
        try:
            if not self.has_place:
                factor = float(self.crs.units_factor[1])
                lengths = [math.dist(points[0], point) * factor for point in points[1:]]
            else:
                xs, ys = zip(*points, strict=True)
                places = list(zip(*warp.transform(self.crs, "EPSG:4326", xs, ys), strict=True))
                lengths = [_distance(places[0], place) for place in places[1:]]
        except (CRSError, RasterioError, ValueError):
            return None
        if not all(math.isfinite(length) and length > 0 for length in lengths):
            return None
        return lengths[0], lengths[1]


def grid_of(dataset: Any) -> tuple[Grid, list[str]]:
    """The grid of an open file, and notes on what was decided.

    Raises:
        RasterError: the file's georeference does not define a grid.
    """
    transform, crs = dataset.transform, dataset.crs
    if not transform.is_identity:
        if not all(map(math.isfinite, transform)) or transform.is_degenerate:
            raise RasterError(f"its geotransform {tuple(transform)[:6]} gives pixels no area")
        notes = [] if crs else ["it has no coordinate reference system, nor will the products"]
        return Grid(crs, transform, *dataset.shape), notes
    points, points_crs = dataset.gcps
    if points:
        transform, error = _fit(points)
        if error > NEAR:
            raise RasterError(
                f"it has only ground control points, and a straight grid misses them by up to "
                f"{error:.1f} pixels. Warp it first: gdalwarp FILE warped.tif"
            )
        note = f"its grid was fitted to {len(points)} ground control points (within {NEAR} pixels)"
        return Grid(points_crs, transform, *dataset.shape), [note]
    if dataset.rpcs or dataset.tags(ns="GEOLOCATION"):
        kind = ("rpc", "RPCs") if dataset.rpcs else ("geoloc", "a geolocation array")
        raise RasterError(
            f"it is georeferenced only by {kind[1]}. Warp it first: gdalwarp -{kind[0]} FILE "
            "warped.tif"
        )
    note = "it has no georeference, nor will the products"
    return Grid(None, transform, *dataset.shape), [note]


def _fit(points: Any) -> tuple[Affine, float]:
    """Fit an affine transform to ground control points; also return its largest error in pixels."""
    transform = from_gcps(points)
    if len(points) < 3 or not all(map(math.isfinite, transform)) or transform.is_degenerate:
        raise RasterError(f"its {len(points)} ground control points do not span a grid")
    back = ~transform
    return transform, max(math.dist(_at(back, p.x, p.y), (p.col, p.row)) for p in points)


def _at(transform: Affine, x: float, y: float) -> tuple[float, float]:
    """Transform a point. Affine's own operator differs between its releases."""
    a, b, c, d, e, f = tuple(transform)[:6]
    return a * x + b * y + c, d * x + e * y + f


def _distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Metres between two nearby places, given as longitude and latitude."""
    latitude = math.radians((one[1] + other[1]) / 2)
    east = math.radians((other[0] - one[0] + 180) % 360 - 180)
    north = math.radians(other[1] - one[1])
    bent = 1 - ECCENTRICITY_2 * math.sin(latitude) ** 2
    across = EARTH_RADIUS / math.sqrt(bent)
    along = across * (1 - ECCENTRICITY_2) / bent
    return math.hypot(across * math.cos(latitude) * east, along * north)
