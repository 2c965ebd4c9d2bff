"""A challenger and the champion on the same samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats


def challenge(truth: Any, challenger: Any, champion: Any) -> dict[str, float]:
    """Compare two models on the same held-out samples.

    Args:
        truth: the class of each sample.
        challenger: what the new model predicts.
        champion: what the model in use predicts.

    Returns:
        `champion_accuracy` (0..1); `only_challenger` and `only_champion`, how many samples only
        one of them gets right; and `p`, how likely so many or more for the challenger would be if
        both were equally good. McNemar's exact test (1947, Psychometrika 12: 153-157): samples
        that both get right, or both get wrong, don't count.
    """
    new, old = (np.asarray(predicted) == np.asarray(truth) for predicted in (challenger, champion))
    better, worse = int((new & ~old).sum()), int((old & ~new).sum())
    p = 1.0
    if better + worse:
        p = float(stats.binomtest(better, better + worse, alternative="greater").pvalue)
    accuracy = float(old.mean())
    return {
        "champion_accuracy": accuracy,
        "only_challenger": better,
        "only_champion": worse,
        "p": p,
    }
