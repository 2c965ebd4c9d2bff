"""Find scenes in STAC catalogs, and describe products. For the project's environment.

from gaiaflow.stac import read_items, search

search(CATALOG, "s3://bucket/search", collections=["sentinel-2-l2a"], datetime="2026-06")
items = read_items("s3://bucket/search")
"""

from gaiaflow.stac.folders import folder
from gaiaflow.stac.items import read_items
from gaiaflow.stac.models import model_item
from gaiaflow.stac.products import (
    class_asset,
    collection_items,
    product_item,
    raster_assets,
    remove_item,
    write_collection,
    write_item,
)
from gaiaflow.stac.searching import CatalogError, search

__all__ = [
    "CatalogError",
    "class_asset",
    "collection_items",
    "folder",
    "model_item",
    "product_item",
    "raster_assets",
    "read_items",
    "remove_item",
    "search",
    "write_collection",
    "write_item",
]
