"""Fourth stage: search hyper-parameters, train, log everything to MLflow."""

import logging
from contextlib import suppress
from typing import Any

import mlflow
import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, StratifiedKFold

from gaiaflow.monitoring import Profile, store_profile

from ..model.classes import classes_of
from ..model.classifier import SEARCH, make_classifier
from ..model_pipeline.bands import BANDS
from ..model_pipeline.landcover import build_pipeline, log_pipeline
from ..monitor.pixels import observe, profile_of
from ..monitor.policy import LIMITS
from ..preprocess.features import SEED, columns_of
from ..utils import s3

logger = logging.getLogger(__name__)


def train(features: str, scene: str | None = None, folds: int = 5) -> dict[str, Any]:
    """Train on the table stored under this key, in a new MLflow run.

    Args:
        scene: S3 key of the scene whose pixels become the model's reference profile, with which
            the monitor compares later ones.
        folds: of the cross-validation.

    Returns:
        `run_id`, the URI `model` of the logged inference pipeline, and `cv_accuracy`.
    """
    table = s3.get_table(features)
    data = from_pandas(table, s3.uri(features), targets="class", name="features")
    served = table[table["served"]] if "served" in table else table.head(0)
    table = table[table["split"] == "train"].reset_index(drop=True)
    columns = columns_of(table)
    search = search_classifier(table[columns], table["class"], folds_of(table, folds))

    with mlflow.start_run(run_name="landcover", tags={"pipeline": "landcover"}) as run:
        log_search(search)
        mlflow.log_params({"features": ", ".join(columns), "samples": len(table)})
        mlflow.log_params({"folds": search.n_splits_, "classes": table["class"].nunique()})
        mlflow.log_input(data, context="training")
        pipeline = build_pipeline(search.best_estimator_)
        example = table[list(BANDS)].head(3)
        model = log_pipeline(pipeline, example, classes_of(table["class"]))
        if scene:
            store_profile(profile_of(pipeline, scene), model)
        if len(served) >= LIMITS.min_rows:
            store_profile(Profile.of(observe(pipeline, served)), model, of="served")
    return {
        "run_id": run.info.run_id,
        "model": model,
        "cv_accuracy": candidates(search)[search.best_index_]["cv_accuracy"],
    }


def folds_of(table: pd.DataFrame, most: int = 5) -> list[tuple[Any, Any]]:
    """Row numbers to learn from and to validate on, for each fold.

    A block is never in both parts, and each part to learn from has all classes. If the blocks don't
    allow that, they don't count.
    """
    classes = table["class"]

    def is_complete(rows: Any) -> bool:
        return bool(classes[rows].nunique() == classes.nunique())

    if "block" in table:
        for count in range(most, 1, -1):
            parts = StratifiedGroupKFold(count, shuffle=True, random_state=SEED)
            with suppress(ValueError):  # fewer blocks than folds
                folds = list(parts.split(table, classes, table["block"]))
                if all(is_complete(learn) and is_complete(check) for learn, check in folds):
                    return folds
        logger.warning("the samples are in too few places: folds don't respect blocks")
    return list(StratifiedKFold(most, shuffle=True, random_state=SEED).split(table, classes))


def search_classifier(features: pd.DataFrame, classes: pd.Series, folds: Any) -> GridSearchCV:
    """Cross-validate every candidate, and train the best one on all rows.

    Args:
        folds: how many, or the row numbers of each.

    The log loss decides: if all candidates are nearly always right, it still shows how sure they
    are.
    """
    search = GridSearchCV(
        make_classifier(),
        SEARCH,
        scoring={"cv_accuracy": "accuracy", "cv_log_loss": "neg_log_loss"},
        refit="cv_log_loss",
        cv=folds,
    )
    return search.fit(features, classes)


def candidates(search: GridSearchCV) -> list[dict[str, float]]:
    """The cross-validated metrics of each candidate, in the order of the search."""
    results = search.cv_results_
    return [
        {
            "cv_accuracy": float(results["mean_test_cv_accuracy"][i]),
            "cv_log_loss": -float(results["mean_test_cv_log_loss"][i]),
        }
        for i in range(len(results["params"]))
    ]


def log_search(search: GridSearchCV) -> None:
    """Log the best candidate to the active run, and each candidate to a nested run."""
    params = search.cv_results_["params"]
    metrics = candidates(search)
    mlflow.log_params(search.best_params_)
    mlflow.log_metrics(metrics[search.best_index_])
    for i, candidate in enumerate(params):
        name = ", ".join(f"{key.rpartition('__')[2]}={value}" for key, value in candidate.items())
        with mlflow.start_run(run_name=name, nested=True, tags={"pipeline": "landcover-search"}):
            mlflow.log_params(candidate)
            mlflow.log_metrics(metrics[i])
