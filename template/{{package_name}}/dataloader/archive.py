"""Find scenes in an archive: any STAC API or static catalog, or the sample."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from gaiaflow.rasters import Raster, open_raster
from gaiaflow.stac import (
    collection_items,
    product_item,
    raster_assets,
    search,
    write_collection,
    write_item,
)

from ..model_pipeline.bands import COMMON_NAMES
from ..utils import s3
from .scene import find_data, sample_scene, store_scene

SAMPLE = "sample"
ARCHIVE = "scenes/sample"  # S3 prefix


def find_scenes(
    catalog: str = SAMPLE,
    *,
    collections: Sequence[str] = (),
    bbox: Sequence[float] | None = None,
    area: str | None = None,
    start: str | None = None,
    end: str | None = None,
    max_cloud: float | None = None,
    max_scenes: int | None = None,
) -> str:
    """Search a catalog, and store the items of the scenes that match.

    Args:
        catalog: "sample", or the address of a STAC API or of a static catalog's JSON file, which
            may also be in the store ("s3://...").
        collections: ids, such as "sentinel-2-l2a".
        bbox: west, south, east, north in degrees.
        area: instead of bbox, a file in data/ with points or polygons.
        start, end: dates such as "2026-06-01"; both days count.
        max_cloud: in percent.

    Returns:
        The S3 prefix of the items, for `gaiaflow.stac.read_items`.

    Raises:
        CatalogError: the catalog doesn't answer, or refuses the search.
    """
    query: dict[str, Any] = {
        "catalog": sample_archive() if catalog == SAMPLE else catalog,
        "collections": list(collections),
        "bbox": bbox,
        "intersects": outline(area) if area else None,
        "datetime": f"{start or '..'}/{end or '..'}" if start or end else None,
        "max_cloud": max_cloud,
        "max_items": max_scenes,
    }
    # The same pages for the same query: when the task is tried again, the search goes on.
    digest = hashlib.sha256(json.dumps(query, sort_keys=True).encode()).hexdigest()
    found = s3.new_prefix("search")
    search(place=s3.uri(found), pages=s3.uri(f"search/pages/{digest[:12]}"), **query)
    return found


def outline(area: str) -> dict[str, Any]:
    """What a file of points or polygons covers, as a GeoJSON geometry in degrees."""
    import geopandas

    table = geopandas.read_file(find_data(area)).to_crs("EPSG:4326")
    covered: dict[str, Any] = table.geometry.make_valid().union_all().convex_hull.__geo_interface__
    return covered


def sample_archive() -> str:
    """Store the sample scene in four parts, as a small archive, and return its address.

    The dates are made up: the sample has none.
    """
    place = s3.uri(ARCHIVE)
    address = f"{place}/collection.json"
    if len(collection_items(place)) == 4:
        return address
    scene = sample_scene()
    half = scene.grid.rows // 2
    for number in range(4):
        row, column = half * (number // 2), half * (number % 2)
        part = Raster(
            scene.values[:, row : row + half, column : column + half],
            scene.bands,
            scene.crs,
            scene.transform @ scene.transform.translation(column, row),
        )
        name = f"sample-{number + 1}"
        store_scene(part, f"{place}/{name}/scene.tif")
        with open_raster(f"{place}/{name}/scene.tif") as raster:
            [asset] = raster_assets(raster, COMMON_NAMES).values()
        asset["href"] = f"../{name}/scene.tif"
        moment = f"2026-06-{number + 1:02}T10:30:00Z"
        item = product_item(name, raster.grid, datetime=moment, assets={"scene": asset})
        write_item(place, item)
    write_collection(place, "The sample scene in four parts")
    return address
