"""Second stage: compare it with the model's reference profile, and report."""

import logging
from typing import Any

import mlflow

from gaiaflow.monitoring import (
    CONFIDENCE,
    PREDICTION,
    Comparison,
    Profile,
    Served,
    compare,
    judged_accuracy,
    load_profile,
    log_report,
    verdict_of,
)

from ..utils import s3
from .pixels import observe
from .policy import DURATION_MS, FAILED, LIMITS

logger = logging.getLogger(__name__)


def judge(collected: dict[str, Any]) -> dict[str, Any]:
    """Compare what `collect` has stored with the reference, and log a report to MLflow.

    Returns:
        The `verdict` ("ok", "warning" or "drift"); whether there is `data_drift`, or only requests
        that failed or were slow; what has `changed`; `notes`, such as that there was too little to
        judge; and the report's `run_id`.

    Raises:
        LookupError: the model has no reference profile.
    """
    name, version = collected["name"], collected["version"]
    model = f"models:/{name}/{version}"
    loaded = mlflow.pyfunc.load_model(model, suppress_warnings=True)
    served = Served(
        s3.get_table(collected["served"]),
        s3.get_table(collected["requests"]),
        collected["right"],
        collected["labelled"],
    )
    comparisons = []
    if len(served.requests):
        profile = load_profile(model, of="served")
        comparisons.append(judge_served(profile, loaded, served, accuracy_of(name, version)))
    if collected["scenes"]:
        pixels = observe(loaded, s3.get_table(collected["mapped"]))
        profile = load_profile(model, of="mapped")
        comparisons.append(compare(profile, pixels, name="mapped", limits=LIMITS))
    facts = {
        "Time": f"{collected['since']} to {collected['until']}",
        "Requests": len(served.requests),
        "Scenes": collected["scenes"],
    }
    run_id = log_report(comparisons, model=name, version=version, facts=facts)
    verdict, changed = verdict_of(comparisons), changes(comparisons)
    notes = [f"{one.name}: {note}" for one in comparisons for note in one.notes]
    if not comparisons:
        notes = ["Nothing was served or mapped."]
    logger.warning("%s\n%s", verdict, "\n".join([*changed, *notes]))
    return {
        "verdict": verdict,
        "data_drift": has_data_drift(comparisons),
        "changed": changed,
        "notes": notes,
        "run_id": run_id,
    }


def judge_served(
    profile: Profile, model: Any, served: Served, accuracy: float | None
) -> Comparison:
    """Compare the inputs and answers of requests; and their time, failures and accuracy.

    Args:
        accuracy: of the model when it was registered (0..1).
    """
    rows = served.rows
    if len(rows):
        rows = observe(model, rows.reindex(columns=_inputs(profile)))
        if PREDICTION in served.rows:
            rows[PREDICTION] = served.rows[PREDICTION]  # as it was served
    comparison = compare(profile, rows, name="served", limits=LIMITS)
    comparison = comparison.adding(served.findings(failed=FAILED, duration_ms=DURATION_MS))
    if accuracy is None:
        return comparison
    return comparison.adding(
        judged_accuracy(served.right, served.labelled, accuracy, limits=LIMITS)
    )


def _inputs(profile: Profile) -> list[str]:
    return [name for name in profile.columns if name not in (PREDICTION, CONFIDENCE)]


def accuracy_of(name: str, version: str) -> float | None:
    """The accuracy (0..1) on held-out samples that a model was registered with."""
    tags = mlflow.MlflowClient().get_model_version(name, version).tags
    return float(tags["accuracy"]) if "accuracy" in tags else None


def has_data_drift(comparisons: list[Comparison]) -> bool:
    """Whether the data or the accuracy has drifted: what a new training may help against."""
    found = [one for comparison in comparisons for one in comparison.findings]
    return any(one.level == "drift" and one.subject != "requests" for one in found)


def changes(comparisons: list[Comparison]) -> list[str]:
    """What is worse than "ok", such as "mapped: psi of B03 is 0.31 (drift)"."""
    return [
        f"{comparison.name}: {one.measure} of {one.title} is {one.value:.3g} ({one.level})"
        for comparison in comparisons
        for one in comparison.findings
        if one.level != "ok"
    ]
