"""Fourth stage of `segmentation`: evaluate the model on chips that it has never seen."""

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np

from gaiaflow.monitoring import challenge
from gaiaflow.rasters import RasterError, function_of

from ..model.classes import classes_in
from ..model_pipeline.registry import champion_version
from ..postprocess.figures import confusion_figure
from ..preprocess.chips import Chips, Pixels, Places, classes_of_chips, open_copies
from ..utils import s3

logger = logging.getLogger(__name__)

# Neighbouring pixels are not independent samples: two models are compared on one labelled pixel of
# each block of this side.
BLOCK = 8


def evaluate(
    chips: str, scene: str, mask: str, model: str, run_id: str, name: str = "segmentation"
) -> dict[str, Any]:
    """Evaluate a model and the current champion on the held-out chips of the table.

    Args:
        chips, scene, mask: S3 keys, as `chips` returns them.
        model: URI of the model.
        run_id: the MLflow run that gets the metrics and a picture of the confusion matrix.
        name: the registered model whose champion is the one to beat.

    Returns:
        `metrics` of the model, and its `challenge` of the champion (None without a champion).
    """
    table = s3.get_table(chips)
    version = champion_version(name)
    with open_copies(scene, mask) as (image, labels):
        classes = classes_of_chips(table, labels)
        names, codes = list(classes), [code for code, _ in classes.values()]
        held_out = Chips(table[table["split"] == "test"], image, labels, codes)
        challenger = predictor(model, image.bands, names)
        champion = None
        if version:
            try:
                champion = predictor(f"models:/{name}/{version}", image.bands, names)
            except (RasterError, ImportError, AttributeError) as error:
                # It wants other bands, or its code has since been renamed or removed.
                logger.warning("champion %s of %s can't be compared: %s", version, name, error)
        matrix = np.zeros((len(names), len(names)), int)
        answers: list[Places] = []
        for pixels, truth in held_out:
            predicted = challenger(pixels)
            matrix += confusion(truth, predicted, len(names))
            if champion:
                rows, columns = thinned(truth)
                found = np.stack([truth, predicted, champion(pixels)])
                answers.append(found[:, rows, columns])
    metrics = compute_metrics(matrix, names)
    mlflow.log_metrics(metrics, run_id=run_id, model_id=model.rpartition("/")[2])
    result = challenge(*np.concatenate(answers, axis=1)) if answers else None
    if result:
        mlflow.log_metrics({f"challenge.{key}": result[key] for key in result}, run_id=run_id)
    with TemporaryDirectory() as folder:
        picture = Path(folder) / "confusion_matrix.png"
        confusion_figure(matrix, names).savefig(picture)
        mlflow.log_artifact(str(picture), run_id=run_id)
    return {"metrics": metrics, "challenge": result}


def predictor(model: str, bands: Sequence[str], names: Sequence[str]) -> Callable[[Pixels], Places]:
    """A function that gives the class of each pixel of a chip, by its place among these names.

    Other classes, which an older model may know, are -1.

    Raises:
        RasterError: the model needs other bands.
    """
    loaded = mlflow.pyfunc.load_model(model, suppress_warnings=True)
    codes = {name: code for name, (code, _) in classes_in(loaded).items()}
    places = np.full(256, -1)
    for name, code in codes.items():
        places[code] = names.index(name) if name in names else -1

    codes_of = function_of(loaded, bands, codes)

    def predict(pixels: Pixels) -> Places:
        found: Places = places[codes_of(pixels)]
        return found

    return predict


def thinned(truth: Places) -> tuple[Places, Places]:
    """Rows and columns of the first labelled pixel of each block."""
    rows, columns = np.nonzero(truth >= 0)
    blocks = rows // BLOCK * truth.shape[1] + columns // BLOCK
    _, first = np.unique(blocks, return_index=True)
    return rows[first], columns[first]


def confusion(truth: Places, predicted: Places, classes: int) -> Places:
    """How many pixels of each class (rows) were taken for which (columns)."""
    labelled = truth >= 0
    pairs = truth[labelled] * classes + predicted[labelled]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def compute_metrics(matrix: Places, names: Sequence[str]) -> dict[str, float]:
    """Overall accuracy, and intersection over union (IoU) of each class and on average, 0..1."""
    hits = matrix.diagonal()
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - hits
    there: list[int] = np.flatnonzero(union).tolist()
    shares: dict[str, float] = {}
    for place in there:
        # MLflow allows few other characters in names.
        key = f"iou_{re.sub(r'[^a-z0-9_. -]', '_', names[place].lower())}"
        shares[f"{key}_{place}" if key in shares else key] = float(hits[place] / union[place])
    return {
        **shares,
        "accuracy": float(hits.sum() / matrix.sum()),
        "iou_mean": float((hits[there] / union[there]).mean()),
    }
