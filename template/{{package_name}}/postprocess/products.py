"""Land-cover maps as products: a collection of STAC items in the bucket, for any STAC client."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import mlflow
import pandas as pd

from gaiaflow.rasters import Applied, LazyRaster
from gaiaflow.stac import (
    class_asset,
    collection_items,
    folder,
    model_item,
    product_item,
    raster_assets,
    remove_item,
    write_collection,
    write_item,
)

from ..model.classes import NODATA, Classes
from ..model.classifier import ARCHITECTURE
from ..model_pipeline.bands import COMMON_NAMES
from ..utils import s3

COLLECTION = "products/landcover"
PARQUET = "application/vnd.apache.parquet"
DESCRIPTION = "Land cover, classified from optical scenes"


def product_name(scene: str, model: str) -> str:
    """The id of the product of a scene and a model, such as "scene-landcover-v3"."""
    return f"{_plain(scene)}-{model_name(model)}"


def model_name(model: str) -> str:
    """The id of a model: "landcover-v3" for "models:/landcover/3"."""
    return _plain(model.removeprefix("models:/").replace("/", "-v"))


def _plain(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_.-]", "_", text)


def raster_key(scene: str, model: str) -> str:
    """The S3 key of a product's class raster."""
    return f"{COLLECTION}/{product_name(scene, model)}/landcover.tif"


def item_key(product: str) -> str:
    """The S3 key of a product's STAC item."""
    return f"{COLLECTION}/items/{product}.json"


def sample_key(product: str) -> str:
    """The S3 key of some pixels of the scene that a product was made from."""
    return f"{COLLECTION}/{product}/sample.parquet"


def known_products() -> set[str]:
    """The ids of all products that there are."""
    names = folder(f"{s3.uri(COLLECTION)}/items").names()
    return {name.removesuffix(".json") for name in names}


def publish(
    scene: str,
    model: str,
    applied: Applied,
    classes: Classes,
    raster: LazyRaster,
    pixels: pd.DataFrame,
    *,
    source: Mapping[str, Any] | None = None,
    more: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Describe a map in the collection.

    Args:
        scene: what the scene is called.
        pixels: some of the scene's, for the monitor.
        source: the scene's own STAC item, if it has one. Otherwise, the time of the map is now.
        more: other assets, such as a picture.

    Returns:
        The S3 key of the item.
    """
    name = product_name(scene, model)
    s3.put_table(sample_key(name), pixels)
    links = {link["rel"]: link["href"] for link in (source or {}).get("links", [])}
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    item = product_item(
        name,
        applied.grid,
        datetime=(source or {}).get("properties", {}).get("datetime") or moment,
        assets={
            "map": class_asset(f"../{name}/landcover.tif", classes, applied.counts, NODATA),
            **raster_assets(raster, COMMON_NAMES),
            "sample": {"href": f"../{name}/sample.parquet", "type": PARQUET, "roles": ["metadata"]},
            **(more or {}),
        },
        made_from=[*([links["self"]] if links.get("self") else []), describe_model(model, classes)],
        model=model,
        properties={"title": f"Land cover of {scene}", "gaiaflow:scene": scene},
    )
    return write_item(s3.uri(COLLECTION), item).removeprefix(s3.uri(""))


def describe_model(model: str, classes: Classes) -> str:
    """Describe a model beside its products, once; return its address, seen from their items."""
    name = model_name(model)
    place, file = folder(s3.uri(COLLECTION)), f"models/{name}.json"
    if place.read(file) is None:
        info = mlflow.models.get_model_info(model)
        item = model_item(name, info, architecture=ARCHITECTURE, classes=classes, uri=model)
        place.write(file, json.dumps(item, indent=2).encode())
    return f"../{file}"


def publish_collection(model: str, keep: int = 2, scene: str | None = None) -> list[str]:
    """Remove old products, and list all others in the collection.

    Args:
        model: URI of the model in use, whose products always stay.
        keep: how many products of a scene by versions of one model stay: the newest.
        scene: remove products of this scene only; None for all.

    Returns:
        The ids of the products that were removed.
    """
    place = s3.uri(COLLECTION)
    items = collection_items(place)
    items.sort(key=lambda item: str(item["properties"].get("created")), reverse=True)
    newer: Counter[tuple[Any, str]] = Counter()
    removed: list[str] = []
    for item in items:
        of, by = (item["properties"].get(f"gaiaflow:{name}") for name in ("scene", "model"))
        kind = (of, str(by).rpartition("/")[0])
        is_ours, is_meant = of is not None, scene in (None, of)
        if is_ours and is_meant and by != model and newer[kind] >= keep:
            remove_item(place, item)
            removed.append(item["id"])
        newer[kind] += 1
    write_collection(place, DESCRIPTION)
    return removed
