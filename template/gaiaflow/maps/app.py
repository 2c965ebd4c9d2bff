"""The map's application: one page, the layers that collections list, their tiles and values."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from rio_tiler.errors import PointOutsideBounds, TileOutsideBounds

from gaiaflow.maps import tiles
from gaiaflow.maps.catalog import Catalog
from gaiaflow.maps.errors import MapError, Missing
from gaiaflow.maps.layers import Layer, find

_STATIC = Path(__file__).with_name("static")


def create_app(catalog: Catalog) -> FastAPI:
    """An application that shows what a catalog lists."""
    app = FastAPI(title="Maps", openapi_url=None)

    def layer_of(collection: str, item: str, layer: str) -> Layer:
        found = find(catalog.item(collection, item).layers, layer)
        if found is None:
            raise Missing(f"{item} has no layer {layer}.")
        if found.problem:
            raise MapError(found.problem)
        return found

    @app.get("/health")
    def health() -> PlainTextResponse:
        return PlainTextResponse("OK")

    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html")

    @app.get("/api/collections")
    def collections() -> dict[str, Any]:
        return {"bucket": catalog.bucket, "collections": catalog.collections()}

    @app.get("/api/collections/{collection}/items/{item}")
    def item(collection: str, item: str) -> dict[str, Any]:
        found = catalog.item(collection, item)
        facts = found.content.get("properties", {})
        return {
            "id": item,
            "datetime": facts.get("datetime"),
            "model": facts.get("gaiaflow:model"),
            "plain": found.is_plain,
            "version": found.version.strip('"'),
            "layers": [_about(layer) for layer in found.layers],
        }

    app.include_router(tiles.router(layer_of, catalog.why_not))
    app.mount("/static", StaticFiles(directory=_STATIC))

    @app.exception_handler(MapError)
    def explain(request: Request, error: MapError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, error.status)

    @app.exception_handler(TileOutsideBounds)
    @app.exception_handler(PointOutsideBounds)
    def outside(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "The raster does not cover this place."}, 404)

    return app


def _about(layer: Layer) -> dict[str, Any]:
    """What the page needs to know of a layer: no addresses."""
    shown = ("name", "title", "scale", "offset", "nodata")
    bands = [{key: getattr(band, key) for key in shown} for band in layer.bands]
    for band in bands:
        if band["nodata"] != band["nodata"]:
            band["nodata"] = None  # NaN, which JSON lacks
    classes = [asdict(found) for found in layer.classes]
    about = {"id": layer.id, "title": layer.title, "problem": layer.problem}
    return {**about, "bands": bands, "classes": classes}
