"""Watch a model's data: compare what it gets now with what it was accepted on.

    from gaiaflow.monitoring import Profile, compare, log_report

    profile = Profile.of(table)  # inputs, and what the model predicts for them
    comparison = compare(profile, window)
    comparison.verdict  # "ok", "warning" or "drift"

For the project's environment. The project decides what to compare, and its `Limits`.
"""

from gaiaflow.monitoring.challenges import challenge
from gaiaflow.monitoring.comparing import Comparison, compare, verdict_of
from gaiaflow.monitoring.findings import Finding, Limits, judged, judged_accuracy
from gaiaflow.monitoring.profiles import (
    CONFIDENCE,
    PREDICTION,
    Profile,
    load_profile,
    store_profile,
)
from gaiaflow.monitoring.reports import log_report, report
from gaiaflow.monitoring.served import Served, read_labelled, read_served

__all__ = [
    "CONFIDENCE",
    "PREDICTION",
    "Comparison",
    "Finding",
    "Limits",
    "Profile",
    "Served",
    "challenge",
    "compare",
    "judged",
    "judged_accuracy",
    "load_profile",
    "log_report",
    "read_labelled",
    "read_served",
    "report",
    "store_profile",
    "verdict_of",
]
