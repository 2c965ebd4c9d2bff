"""Sixth stage: a gate, the registry, and the choice of the champion."""

import logging
from typing import Any

import mlflow

from ..model_pipeline.registry import champion_version, promote
from .challenge import wins

logger = logging.getLogger(__name__)

# How Airflow calls runs that a schedule or an asset has started.
AUTOMATIC = ("scheduled__", "asset_triggered__")


def register(
    model: str,
    metrics: dict[str, float],
    challenge: dict[str, float] | None = None,
    name: str = "landcover",
    min_accuracy: float = 0.85,
    dag_run: str = "",
    promotion: str = "auto",
) -> dict[str, Any]:
    """Register a model that is good enough; make it the champion if it wins.

    Args:
        model: URI of a logged model.
        metrics: the model's metrics on held-out data.
        challenge: what `evaluate` returns about the current champion, if there is one.
        dag_run: the id of the DAG run, which says whether somebody has started it.
        promotion: "auto"; with anything else, a later task makes it the champion.

    Returns:
        `name` and `version` of the new entry, whether it `is_better` than the champion and
        `is_champion` now, a `summary` for people, and the URI `champion` of the model to use from
        now on (None if there is none).

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
    version = int(entry.version)
    summary = summarize(name, version, accuracy, challenge)
    logger.info("%s", summary)
    is_better = wins(challenge, automatic=dag_run.startswith(AUTOMATIC))
    if is_better and promotion == "auto":
        promote(name, version)
    champion = champion_version(name)
    return {
        "name": name,
        "version": version,
        "is_better": is_better,
        "is_champion": champion == str(version),
        "summary": summary,
        "champion": champion and f"models:/{name}/{champion}",
    }


def summarize(name: str, version: int, accuracy: float, challenge: dict[str, float] | None) -> str:
    """What someone needs to know to decide about a new version, in Markdown."""
    lines = [f"Version {version} of `{name}` has an accuracy of {accuracy:.3f} on held-out data."]
    if challenge is None:
        lines.append("There is no champion yet.")
    else:
        lines.append(
            f"It is right about {challenge['only_challenger']:.0f} samples that the champion gets "
            f"wrong, and wrong about {challenge['only_champion']:.0f} that the champion gets right "
            f"(p = {challenge['p']:.3f})."
        )
    return "\n\n".join([*lines, "The run in MLflow has its metrics and the confusion matrix."])
