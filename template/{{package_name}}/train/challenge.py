"""Challenger against champion: does a new model replace the one in use?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import binomtest

ALPHA = 0.05


def challenge(truth: Any, challenger: Any, champion: Any) -> dict[str, float]:
    """Compare two models on the same held-out samples.

    Args:
        truth, challenger, champion: the true and the two predicted classes of each sample.

    Returns:
        `champion_accuracy` (0..1); `only_challenger` and `only_champion`, how many samples only
        one of them gets right; and `p`, how likely so many or more for the challenger would be if
        both were equally good. McNemar's exact test (1947, Psychometrika 12: 153-157): samples
        that both get right, or both get wrong, don't count.
    """
    new, old = (np.asarray(predicted) == np.asarray(truth) for predicted in (challenger, champion))
    better, worse = int((new & ~old).sum()), int((old & ~new).sum())
    test = binomtest(better, better + worse, alternative="greater") if better + worse else None
    return {
        "champion_accuracy": float(old.mean()),
        "only_challenger": better,
        "only_champion": worse,
        "p": float(test.pvalue) if test else 1.0,
    }


def wins(result: Mapping[str, float] | None, automatic: bool = False) -> bool:
    """Whether the challenger becomes the champion.

    Somebody who trains a model has a reason: the new one wins if it isn't worse. What drift or a
    schedule has started must be significantly better.

    Args:
        result: of `challenge`; None if there is no champion.
        automatic: nobody started the run.
    """
    if result is None:
        return True
    if automatic:
        return result["p"] < ALPHA
    return result["only_challenger"] >= result["only_champion"]
