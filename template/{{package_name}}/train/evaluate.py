"""Fifth stage: evaluate the model on samples that it has never seen."""

import logging
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from gaiaflow.monitoring import challenge

from ..model_pipeline.bands import BANDS
from ..model_pipeline.registry import champion_version
from ..postprocess.figures import confusion_figure
from ..utils import s3

logger = logging.getLogger(__name__)


def evaluate(features: str, model: str, run_id: str, name: str = "landcover") -> dict[str, Any]:
    """Evaluate a model and the current champion on the held-out rows of the table.

    Args:
        features: S3 key of the table.
        model: URI of the model.
        run_id: the MLflow run that gets the metrics and a picture of the confusion matrix.
        name: the registered model whose champion is the one to beat.

    Returns:
        `metrics` of the model, and its `challenge` of the champion (None without a champion).
    """
    table = s3.get_table(features)
    test = table[table["split"] == "test"]
    predicted = predict_classes(model, test)
    metrics = compute_metrics(test["class"], predicted)

    champion = champion_classes(name, test)
    result = None if champion is None else challenge(test["class"], predicted, champion)
    mlflow.log_metrics(metrics, run_id=run_id, model_id=model.rpartition("/")[2])
    if result:
        mlflow.log_metrics({f"challenge.{key}": result[key] for key in result}, run_id=run_id)
    classes = sorted(table["class"].unique())
    matrix = confusion_matrix(test["class"], predicted, labels=classes)
    with TemporaryDirectory() as folder:
        picture = Path(folder) / "confusion_matrix.png"
        confusion_figure(matrix, classes).savefig(picture)
        mlflow.log_artifact(str(picture), run_id=run_id)

    return {"metrics": metrics, "challenge": result}


def champion_classes(name: str, test: pd.DataFrame) -> np.ndarray[Any, Any] | None:
    """What the champion of this name predicts, or None if there is none to compare with."""
    version = champion_version(name)
    if version is None:
        return None
    try:
        return predict_classes(f"models:/{name}/{version}", test)
    except (ImportError, AttributeError) as error:
        # Its code has since been renamed or removed from the project.
        logger.warning("champion %s of %s no longer loads: %s", version, name, error)
        return None


def predict_classes(model: str, table: pd.DataFrame) -> np.ndarray[Any, Any]:
    """The class names that the model at this URI predicts for raw reflectances, one per row."""
    loaded = mlflow.pyfunc.load_model(model, suppress_warnings=True)
    return np.asarray(loaded.predict(table[list(BANDS)]))


def compute_metrics(truth: pd.Series, predicted: np.ndarray[Any, Any]) -> dict[str, float]:
    """Overall accuracy, macro F1, and the recall (producer's accuracy) of each class, 0..1."""
    classes = sorted(truth.unique())
    recalls = recall_score(truth, predicted, labels=classes, average=None, zero_division=0)
    # MLflow allows few other characters in names.
    names = [f"recall_{re.sub(r'[^a-z0-9_. -]', '_', name.lower())}" for name in classes]
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "f1_macro": float(f1_score(truth, predicted, average="macro")),
        **{name: float(recall) for name, recall in zip(names, recalls, strict=True)},
    }
