"""Last stage: the map, as a raster for machines and as a picture for people."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt

from gaiaflow.rasters import Raster, read, write_cog

from ..model.classes import CLASSES, NODATA
from ..predict.scene import class_shares, classify
from ..utils import s3
from .figures import map_figure


def make_map(scene: str, model: str, run_id: str) -> dict[str, Any]:
    """Classify the scene stored under this key with a registered model.

    Args:
        scene: S3 key of the scene.
        model: URI of the model, such as "models:/landcover/1" or "models:/landcover@champion".
        run_id: the MLflow run that also gets the picture.

    Returns:
        The S3 keys `map` (COG) and `picture` (PNG), and the `shares` of the classes.
    """
    image = read(s3.get(scene))
    codes = classify(mlflow.pyfunc.load_model(model), image)
    shares = class_shares(codes)
    raster = s3.put(s3.beside(scene, "landcover.tif"), class_raster(codes, image, model))

    with TemporaryDirectory() as folder:
        file = Path(folder) / "landcover.png"
        map_figure(image, codes, shares, model).savefig(file)
        mlflow.log_artifact(str(file), run_id=run_id)
        picture = s3.put(s3.beside(scene, file.name), file.read_bytes())
    return {"map": raster, "picture": picture, "shares": shares}


def class_raster(codes: npt.NDArray[np.uint8], scene: Raster, model: str) -> bytes:
    """The content of a Cloud-Optimized GeoTIFF of class codes on the grid of the scene.

    It includes the colour table, the nodata value and each code's meaning (tag `classes`, JSON).
    """
    return write_cog(
        codes[np.newaxis],
        scene.crs,
        scene.transform,
        NODATA,
        names=("land cover",),
        colours=dict(CLASSES.values()),
        tags={
            "classes": json.dumps({code: name for name, (code, _) in CLASSES.items()}),
            "model": model,
        },
        overviews="mode",
    )
