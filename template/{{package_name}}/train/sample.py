"""Train on the sample: seconds, no network, no object store, no Airflow.

tests/test_model.py holds the result against its thresholds, and CI serves the model from the
project's image (`python -m gaiaflow.smoke`).
"""

from typing import Any

import mlflow

from ..dataloader.ingest import sample_spectra
from ..model.classes import classes_of
from ..model_pipeline.bands import BANDS
from ..model_pipeline.landcover import build_pipeline, log_pipeline
from ..preprocess.features import columns_of, make_features
from .evaluate import compute_metrics, predict_classes
from .train import folds_of, search_classifier


def train_sample() -> dict[str, Any]:
    """Train as the pipeline does, in a new MLflow run.

    Returns:
        The URI `model` of the logged inference pipeline, and its `metrics` on held-out samples.
    """
    table = make_features(sample_spectra())
    learn = table[table["split"] == "train"].reset_index(drop=True)
    test = table[table["split"] == "test"]
    columns = columns_of(table)
    search = search_classifier(learn[columns], learn["class"], folds_of(learn))
    with mlflow.start_run(run_name="sample"):
        pipeline = build_pipeline(search.best_estimator_)
        model = log_pipeline(pipeline, learn[list(BANDS)].head(3), classes_of(learn["class"]))
        metrics = compute_metrics(test["class"], predict_classes(model, test))
        mlflow.log_metrics(metrics)
    return {"model": model, "metrics": metrics}
