"""Last stage: the map, as a raster for machines and as a picture for people."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow

from gaiaflow.maps import page_url
from gaiaflow.rasters import PixelSample, open_raster

from ..model_pipeline.registry import with_version
from ..predict.scene import class_shares, classify
from ..utils import s3
from .figures import map_figure
from .products import COLLECTION, publish, publish_collection, raster_key

SIDE = 600  # pixels of the picture's longer side; larger scenes are shown coarser


def make_map(scene: str, model: str, run_id: str, name: str = "scene") -> dict[str, Any]:
    """Classify the scene stored under this key with a registered model.

    Args:
        scene: S3 key of the scene.
        model: URI of the model, such as "models:/landcover/1" or "models:/landcover@champion".
        run_id: the MLflow run that also gets the picture.
        name: what the scene is called.

    Returns:
        The S3 keys `map` (COG), `item` (STAC) and `picture` (PNG), and the classes' `shares`.
    """
    model = with_version(model)  # a map always names the version that made it
    key = raster_key(name, model)
    with open_raster(s3.uri(scene)) as raster:
        pixels = PixelSample(raster)
        applied, classes = classify(model, raster, s3.uri(key), pixels)
        image = raster.preview(SIDE)
    with open_raster(s3.uri(key)) as result:
        codes = result.preview(SIDE)
    shares = class_shares(applied.counts, classes)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "landcover.png"
        map_figure(image, codes, classes, shares, model).savefig(file)
        mlflow.log_artifact(str(file), run_id=run_id)
        picture = s3.put(s3.beside(key, file.name), file.read_bytes())
    thumbnail = {"href": f"../{picture.removeprefix(COLLECTION + '/')}", "roles": ["thumbnail"]}
    more = {"thumbnail": thumbnail}
    item = publish(name, model, applied, classes, raster, pixels.table, more=more)
    publish_collection(model, scene=name)
    if page := page_url(Path(COLLECTION).name, Path(item).stem):
        note = f"[Map]({page}), after `python3 mlops_manager.py open maps`"
        mlflow.MlflowClient().set_tag(run_id, "mlflow.note.content", note)
    return {"map": key, "item": item, "picture": picture, "shares": shares}
