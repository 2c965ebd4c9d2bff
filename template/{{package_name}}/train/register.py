"""Sixth stage: a gate, the registry, and the choice of the champion."""

from typing import Any

import mlflow

from ..model_pipeline.registry import champion_version, promote
from .challenge import wins

# How Airflow calls runs that a schedule or an asset has started.
AUTOMATIC = ("scheduled__", "asset_triggered__")


def register(
    model: str,
    metrics: dict[str, float],
    challenge: dict[str, float] | None = None,
    name: str = "landcover",
    min_accuracy: float = 0.85,
    dag_run: str = "",
) -> dict[str, Any]:
    """Register a model that is good enough; make it the champion if it wins.

    Args:
        model: URI of a logged model.
        metrics: the model's metrics on held-out data.
        challenge: what `evaluate` returns about the current champion, if there is one.
        dag_run: the id of the DAG run, which says whether somebody has started it.

    Returns:
        `name` and `version` of the new entry, `is_champion`, and the URI `champion` of the model
        to use from now on.

    Raises:
        ValueError: the accuracy is below `min_accuracy`.
    """
    accuracy = metrics["accuracy"]
    if accuracy < min_accuracy:
        raise ValueError(
            f"The model was not registered: its accuracy of {accuracy:.3f} is below the minimum "
            f"of {min_accuracy:.3f}. See the run's confusion matrix in MLflow."
        )
    entry = mlflow.register_model(model, name, tags={"accuracy": f"{accuracy:.4f}"})
    is_champion = wins(challenge, automatic=dag_run.startswith(AUTOMATIC))
    if is_champion:
        promote(name, entry.version)
    return {
        "name": name,
        "version": int(entry.version),
        "is_champion": is_champion,
        # The version, not the alias: a map always names the model that made it.
        "champion": f"models:/{name}/{champion_version(name)}",
    }
