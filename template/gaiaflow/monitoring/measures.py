"""Statistics of two samples. Each returns how large a difference is, and its p-value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

Numbers: TypeAlias = npt.NDArray[np.float64]
Counts: TypeAlias = npt.NDArray[np.int64]


def psi(reference: Any, window: Any) -> tuple[float, float]:
    """Population stability index of two histograms with the same bins.

    Siddiqi (2006), Credit Risk Scorecards: below 0.1 is stable, above 0.25 is a large change. Of
    two samples from one population, it follows (1/n + 1/m) chi-squared with bins - 1 degrees of
    freedom (Yurdakul 2018, Statistical Properties of Population Stability Index).

    Args:
        reference, window: counts per bin. Half a row is added to each, since empty
            bins have no logarithm.

    Returns:
        The index, 0 or more, and the p-value.
    """
    a, b = (np.asarray(counts, float) for counts in (reference, window))
    if len(a) < 2:
        return 0.0, 1.0
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (a, b))
    value = float(((p - q) * np.log(p / q)).sum())
    return value, float(stats.chi2.sf(value / (1 / a.sum() + 1 / b.sum()), len(a) - 1))


def ks(reference: Numbers, window: Numbers) -> tuple[float, float]:
    """Largest distance (0..1) of two empirical distributions: Kolmogorov and Smirnov's test."""
    found = stats.ks_2samp(reference, window, method="asymp")
    return float(found.statistic), float(found.pvalue)


def increase(reference: tuple[int, int], window: tuple[int, int]) -> tuple[float, float]:
    """How much a share (0..1) has grown, and the p-value by Fisher's exact test.

    Args:
        reference, window: how many rows have something, and how many there are.
    """
    (a, n), (b, m) = reference, window
    grown = b / max(m, 1) - a / max(n, 1)
    if grown <= 0:
        return grown, 1.0
    found = stats.fisher_exact([[b, m - b], [a, n - a]], alternative="greater")
    return grown, float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for the number of tests (Holm 1979, Scand. J. Statist. 6: 65-70)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1)
    return [float(value) for value in corrected]


def inner_edges(values: Numbers, bins: int) -> Numbers:
    """Quantiles between bins of about equal counts; fewer bins if many values are equal."""
    return np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))


def histogram(values: Numbers, edges: Numbers) -> Counts:
    """Counts per bin; the first and the last bin are open."""
    return np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
