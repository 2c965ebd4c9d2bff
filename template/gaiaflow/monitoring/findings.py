"""What a comparison finds, and how bad that is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from scipy import stats

Level: TypeAlias = Literal["ok", "warning", "drift"]
LEVELS: tuple[Level, ...] = ("ok", "warning", "drift")

# From where on a value is a warning, and from where on drift.
Steps: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Limits:
    """What counts as a change. Pairs are the steps to "warning" and to "drift".

    A change must be large and significant. So large windows don't alarm because of a trifle, nor
    small ones by chance.

    Attributes:
        psi: population stability index; the steps are Siddiqi's (2006).
        ks: Kolmogorov and Smirnov's distance of two distributions (0..1).
        missing: growth of the share (0..1) of rows that lack a number.
        outside: share (0..1) of numbers outside the range of the reference.
        accuracy: loss of accuracy (0..1).
        alpha: chance that any of a comparison's tests is significant although nothing changed.
        min_rows: a window with fewer isn't judged.
    """

    psi: Steps = (0.1, 0.25)
    ks: Steps = (0.1, 0.2)
    missing: Steps = (0.05, 0.2)
    outside: Steps = (0.05, 0.2)
    accuracy: Steps = (0.05, 0.1)
    alpha: float = 0.001
    min_rows: int = 200


@dataclass(frozen=True)
class Finding:
    """One number of a comparison.

    Attributes:
        subject: a column, or what else was looked at.
        measure: such as "psi".
        level: "ok", "warning" or "drift".
        steps: from where on `value` is a warning, and drift; None: not judged.
        p: p-value, corrected for the number of tests; None: not tested.
        about: what the subject is, if its name doesn't say.
    """

    subject: str
    measure: str
    value: float
    level: Level = "ok"
    steps: Steps | None = None
    p: float | None = None
    about: str = ""

    @property
    def title(self) -> str:
        """The subject, and what it is: "relation 4: B03 - B02"."""
        return f"{self.subject}: {self.about}" if self.about else self.subject


def worst(levels: Iterable[Level]) -> Level:
    """The worst of some levels; "ok" if there is none."""
    return max(levels, key=LEVELS.index, default="ok")


def judged(
    subject: str,
    measure: str,
    value: float,
    steps: Steps | None = None,
    p: float | None = None,
    alpha: float = Limits.alpha,
) -> Finding:
    """A finding with its level: as far as the value goes, if it is significant or not tested."""
    level: Level = "ok"
    if steps and (p is None or p < alpha):
        level = LEVELS[sum(value >= step for step in steps)]
    return Finding(subject, measure, value, level, steps, p)


def judged_accuracy(
    right: int, labelled: int, expected: float, limits: Limits | None = None
) -> tuple[Finding, ...]:
    """The accuracy of predictions whose truth came later, and its loss.

    A binomial test says whether the loss is more than the step to a warning. What was expected was
    measured on samples, too, and is as uncertain as they were few.

    Args:
        right: how many predictions were right.
        labelled: of how many.
        expected: the accuracy (0..1) of the model when it was accepted.
    """
    if not labelled:
        return ()
    limits, accuracy = limits or Limits(), right / labelled
    least = min(max(expected - limits.accuracy[0], 0.0), 1.0)
    p = float(stats.binomtest(right, labelled, least, alternative="less").pvalue)
    return (
        judged("truth", "labelled", labelled),
        judged("truth", "accuracy", accuracy),
        judged("truth", "loss", expected - accuracy, limits.accuracy, p, limits.alpha),
    )
