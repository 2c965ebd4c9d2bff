"""Third stage: decide whether drift starts a training."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import mlflow
from mlflow.entities import Run

from .policy import ATTEMPTS, COOL_DOWN

logger = logging.getLogger(__name__)

BY_DRIFT = "asset_triggered"  # how Airflow calls runs that an asset has started


def decide(verdict: str, name: str = "landcover", data_drift: bool = True) -> dict[str, Any]:
    """Decide whether to train a challenger now.

    Args:
        verdict: of `judge`.
        name: the registered model.
        data_drift: of `judge`.

    Returns:
        Whether there is `drift`, whether to `retrain`, and `why`.
    """
    if verdict != "drift":
        return answer(f"The verdict is {verdict}.", drift=False)
    if not data_drift:
        return answer("Requests fail or are slow, which a training doesn't change.", drift=True)
    trainings = [
        started(run)
        for run in find("tags.pipeline = 'landcover'")
        if run.data.tags.get("airflow.run_id", "").startswith(BY_DRIFT)
    ]
    reports = find(f"tags.pipeline = 'monitor' and tags.model = '{name}'")
    fine = [started(run) for run in reports if run.data.tags["verdict"] != "drift"]
    return answer(reason_to_wait(datetime.now(UTC), trainings, fine), drift=True)


def answer(why_not: str, *, drift: bool) -> dict[str, Any]:
    """The decision, which is also in the task's log."""
    why = why_not or "The data has drifted."
    logger.warning("retrain: %s. %s", "no" if why_not else "yes", why)
    return {"drift": drift, "retrain": not why_not, "why": why}


def reason_to_wait(now: datetime, trainings: Iterable[datetime], fine: Iterable[datetime]) -> str:
    """Why drift doesn't start a training now; empty if it does.

    It waits for COOL_DOWN after each training, and stops after ATTEMPTS that haven't helped.

    Args:
        trainings: when drift has started one.
        fine: when the monitor has found no drift.
    """
    trainings = list(trainings)
    latest = max(trainings, default=None)
    if latest and now - latest < COOL_DOWN:
        return f"Drift has started a training at {latest:%Y-%m-%d %H:%M} UTC: too short ago."
    last_fine = max(fine, default=None)
    tried = [moment for moment in trainings if last_fine is None or moment > last_fine]
    if len(tried) >= ATTEMPTS:
        return (
            f"{len(tried)} trainings have not helped. Look at the report, and train on new labels "
            "or a new scene: python3 mlops_manager.py run landcover"
        )
    return ""


def find(condition: str) -> list[Run]:
    """The latest runs of the project's experiment that fulfil a condition."""
    return mlflow.search_runs(
        filter_string=condition,
        max_results=200,
        order_by=["start_time DESC"],
        output_format="list",
    )


def started(run: Run) -> datetime:
    """When a run has started."""
    return datetime.fromtimestamp(run.info.start_time / 1000, UTC)
