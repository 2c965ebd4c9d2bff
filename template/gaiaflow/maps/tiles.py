"""Tiles and values of layers, by titiler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import rasterio
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from rasterio.errors import RasterioIOError
from rasterio.session import DummySession
from rio_tiler.constants import WGS84_CRS
from rio_tiler.io import Reader
from rio_tiler.io.rasterio import ImageReader
from rio_tiler.models import ImageData, PointData
from rio_tiler.reader import Options
from rio_tiler.tasks import multi_arrays, multi_points
from rio_tiler.utils import inherit_rasterio_env
from titiler.core.resources.enums import ImageType
from titiler.core.utils import render_image

from gaiaflow.maps.errors import MapError, Missing
from gaiaflow.maps.layers import CLASSES, PALETTE, VALUES, Band, Layer
from gaiaflow.web import POINTERS, signed

# The reflectance that is shown as white.
_WHITE = {"nir": 0.5}
_WHITE_ELSEWHERE = 0.3
_GAMMA = 1.3
_CURVE = (255 * (np.arange(256) / 255) ** (1 / _GAMMA)).round().astype("uint8")

_GDAL = {
    "GDAL_CACHEMAX": 200 << 20,  # bytes of blocks; the default is 5 % of the memory
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "GDAL_HTTP_CONNECTTIMEOUT": "5",
    "GDAL_HTTP_TIMEOUT": "60",
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": "5000000",
}

# From the name of a file that GDAL could not read to the reason.
Explain = Callable[[str], str]


class LayerReader:
    """Reads a layer from its files, as rio-tiler reads one file."""

    def __init__(self, layer: Layer, explain: Explain) -> None:
        """Read nothing yet."""
        self._layer, self._explain = layer, explain

    def tile(self, x: int, y: int, z: int) -> ImageData:
        """A tile with all bands of the layer."""
        smooth = "nearest" if self._layer.id == CLASSES or self._layer.plain else "bilinear"
        options: dict[str, Any] = {"resampling_method": smooth}
        if not self._layer.plain:
            options["reproject_method"] = smooth

        def read(file: tuple[str, tuple[int, ...]]) -> ImageData:
            with self._open(file[0]) as source:
                return source.tile(x, y, z, indexes=file[1], **options)

        files = self._layer.files
        if len(files) == 1:
            return read(files[0])
        return multi_arrays(files, inherit_rasterio_env(read))

    def point(self, x: float, y: float) -> PointData:
        """The stored number of each band at a longitude and latitude, or at a column and row.

        Raises:
            PointOutsideBounds: the raster does not cover it.
        """
        if self._layer.plain:
            x, y = int(x), int(y)

        def read(file: tuple[str, tuple[int, ...]]) -> PointData:
            with self._open(file[0]) as source:
                return source.point(x, y, indexes=file[1])

        files = self._layer.files
        if len(files) == 1:
            return read(files[0])
        return multi_points(files, inherit_rasterio_env(read))

    def extent(self) -> dict[str, Any]:
        """Where the layer lies, and which tiles it has."""
        with self._open(self._layer.bands[0].address) as source:
            bounds = None if self._layer.plain else source.get_geographic_bounds(WGS84_CRS)
            return {
                "bounds": bounds,
                "size": [source.width, source.height],
                "minzoom": source.minzoom,
                "maxzoom": source.maxzoom,
            }

    @contextmanager
    def _open(self, address: str) -> Iterator[Reader]:
        band = next(band for band in self._layer.bands if band.address == address)
        reader, options = (ImageReader, {}) if self._layer.plain else (Reader, _options(band))
        try:
            with reader(signed(address), options=options) as source:
                if source.dataset.driver in POINTERS:
                    raise MapError(f"{band.file} names other files, which are not read.")
                if source.crs is None and not self._layer.plain:
                    raise MapError(f"{band.file} does not say where it lies.")
                yield source
        except RasterioIOError:  # its message has the address, and that the signature
            raise MapError(self._explain(band.file)) from None


def _options(band: Band) -> Options:
    return {} if band.nodata is None else {"nodata": band.nodata}


def paint(layer: Layer, image: ImageData) -> ImageData:
    """Make colors of reflectance, the same for all dates so that they compare."""
    image.rescale(
        [
            ((0 - band.offset) / band.scale, (_white(band) - band.offset) / band.scale)
            for band in layer.bands
        ]
    )
    image.array = np.ma.MaskedArray(_CURVE[image.array.data], mask=image.array.mask)
    return image


def colors(layer: Layer) -> dict[int, tuple[int, int, int, int]]:
    """The color of each class; of all values if the item describes none."""
    known = {found.value: found.color for found in layer.classes}
    if not known:
        known = {value: PALETTE[value % len(PALETTE)] for value in range(256)}
    return {value: (*bytes.fromhex(color), 255) for value, color in known.items()}


def _white(band: Band) -> float:
    return _WHITE.get(band.title.partition(" ")[0], _WHITE_ELSEWHERE)


def _environment() -> rasterio.Env:
    """GDAL's settings. Addresses are signed: a session with keys would take longer than a tile."""
    return rasterio.Env(session=DummySession(), **_GDAL)


def router(find: Callable[..., Layer], explain: Explain) -> APIRouter:
    """The routes of a layer that a dependency finds.

    They are fewer than titiler's own, which read from any address that a request names, and want
    rasters to lie on the Earth.
    """
    routes = APIRouter(prefix="/layers/{collection}/{item}/{layer}")
    listed = Depends(find)

    @routes.get("/{z}/{x}/{y}.png")
    def tile(z: int, x: int, y: int, layer: Layer = listed) -> Response:
        if layer.id == VALUES:
            raise Missing("This layer has values only.")
        with _environment():
            image = LayerReader(layer, explain).tile(x, y, z)
            content, kind = render_image(
                image if layer.id == CLASSES else paint(layer, image),
                output_format=ImageType.pngraw,  # little compressed: it stays on this computer
                colormap=colors(layer) if layer.id == CLASSES else None,
            )
        return Response(content, media_type=kind)

    @routes.get("/point/{x},{y}")
    def point(x: float, y: float, layer: Layer = listed) -> dict[str, Any]:
        with _environment():
            found = LayerReader(layer, explain).point(x, y)
        values = [None if value is np.ma.masked else value.item() for value in found.array]
        return {"values": [None if value != value else value for value in values]}  # JSON lacks NaN

    @routes.get("/extent")
    def extent(layer: Layer = listed) -> dict[str, Any]:
        with _environment():
            return LayerReader(layer, explain).extent()

    return routes
