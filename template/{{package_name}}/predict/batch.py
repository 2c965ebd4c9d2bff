"""Map the scenes of an archive, one task each. dags/landcover_batch.py calls these functions."""

import logging
from collections.abc import Sequence
from typing import Any

from gaiaflow.rasters import PixelSample, open_item
from gaiaflow.stac import folder, read_items

from ..dataloader.archive import SAMPLE, find_scenes
from ..model_pipeline.bands import OTHER_NAMES
from ..model_pipeline.registry import champion_version
from ..postprocess.products import (
    item_key,
    known_products,
    product_name,
    publish,
    publish_collection,
    raster_key,
)
from ..utils import s3
from .scene import class_shares, classify

logger = logging.getLogger(__name__)

UNKNOWN = "see the log of its task"


def search_scenes(
    catalog: str = SAMPLE,
    collections: Sequence[str] | None = None,
    bbox: Sequence[float] | None = None,
    area: str | None = None,
    start: str | None = None,
    end: str | None = None,
    max_cloud: float | None = None,
    max_scenes: int = 100,
    name: str = "landcover",
) -> dict[str, Any]:
    """Find scenes that the current champion has not mapped yet.

    Args:
        name: the registered model whose champion makes the maps.
        catalog, collections, bbox, area, start, end, max_cloud, max_scenes: see `find_scenes`.

    Returns:
        The S3 prefix `found` of the items; `scenes`, the ids of those to map; and `model`, the URI
        of the champion: a version, so that all scenes get the same model.

    Raises:
        LookupError: there is no champion, or no scene matches.
    """
    version = champion_version(name)
    if version is None:
        advice = (
            "Train one first: python3 mlops_manager.py run landcover"
            if name == "landcover"
            else "A DAG must register and promote a model of that name first."
        )
        raise LookupError(f"The model {name!r} has no champion. {advice}")
    found = find_scenes(
        catalog,
        collections=collections or (),
        bbox=bbox,
        area=area,
        start=start,
        end=end,
        max_cloud=max_cloud,
        max_scenes=max_scenes,
    )
    scenes = [str(item["id"]) for item in read_items(s3.uri(found))]
    if not scenes:
        raise LookupError(f"No scene in {catalog} matches. Try a larger area or a longer time.")
    model, known = f"models:/{name}/{version}", known_products()
    new = [scene for scene in scenes if product_name(scene, model) not in known]
    logger.warning("%d scenes, %d of them not mapped by %s yet", len(scenes), len(new), model)
    return {"found": found, "scenes": new, "model": model}


def map_scene(found: str, scene: str, model: str) -> dict[str, Any]:
    """Classify a scene where it is: only the map is stored, and a sample of its pixels.

    Args:
        found: S3 prefix of the scenes' items.
        scene: id of the scene's item.
        model: URI of the model, such as "models:/landcover/3".

    Returns:
        The S3 keys `map` (COG) and `item` (STAC), and the classes' `shares`.

    Raises:
        RasterError: the scene can't be read, or its values can't be reflectance.
    """
    key = raster_key(scene, model)
    failure = f"{found}/failed/{product_name(scene, model)}.txt"
    try:
        [item] = read_items(s3.uri(found), [scene])
        with open_item(item, OTHER_NAMES) as raster:
            pixels = PixelSample(raster)
            applied, classes = classify(model, raster, s3.uri(key), pixels)
        stored = publish(scene, model, applied, classes, raster, pixels.table, source=item)
    except Exception as error:
        s3.put(failure, str(error).encode())  # for the summary
        raise
    return {"map": key, "item": stored, "shares": class_shares(applied.counts, classes)}


def summarize(found: str, model: str, keep: int = 2) -> dict[str, Any]:
    """List the products, remove old ones, and name the scenes that failed.

    Args:
        found: S3 prefix of the scenes' items.
        keep: how many products of a scene stay; see `publish_collection`.

    Returns:
        How many scenes of the search are `mapped` now, the S3 keys `items` of the first hundred
        products, and the ids of the `removed` ones.

    Raises:
        ValueError: a scene failed; the message says which, and why.
    """
    removed = publish_collection(model, keep)
    scenes = [str(item["id"]) for item in read_items(s3.uri(found))]
    known = known_products()
    failed = [scene for scene in scenes if product_name(scene, model) not in known]
    if failed:
        notes = folder(f"{s3.uri(found)}/failed")
        reasons = [notes.read(f"{product_name(scene, model)}.txt") for scene in failed]
        lines = [
            f"- {scene}: {reason.decode().removeprefix(f'{scene}: ') if reason else UNKNOWN}"
            for scene, reason in zip(failed, reasons, strict=True)
        ]
        raise ValueError(
            f"{len(failed)} of {len(scenes)} scenes are not mapped; the others are done, and the "
            "next run tries these again.\n" + "\n".join(lines)
        )
    items = [item_key(product_name(scene, model)) for scene in scenes[:100]]
    return {"mapped": len(scenes), "items": items, "removed": removed}
