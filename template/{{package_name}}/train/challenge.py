"""Challenger against champion: does a new model replace the one in use?"""

from collections.abc import Mapping

ALPHA = 0.05


def wins(challenge: Mapping[str, float] | None, automatic: bool = False) -> bool:
    """Whether the challenger becomes the champion.

    Somebody who trains a model has a reason: the new one wins if it isn't worse. What drift or a
    schedule has started must be significantly better.

    Args:
        challenge: of `gaiaflow.monitoring.challenge`; None if there is no champion.
        automatic: nobody started the run.
    """
    if challenge is None:
        return True
    if automatic:
        return challenge["p"] < ALPHA
    return challenge["only_challenger"] >= challenge["only_champion"]
