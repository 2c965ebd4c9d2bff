"""Compare a window of data with the reference."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pandas as pd

from gaiaflow.monitoring.findings import Finding, Level, Limits, Steps, judged, worst
from gaiaflow.monitoring.measures import histogram, holm, increase, inner_edges, ks, psi
from gaiaflow.monitoring.profiles import (
    BINS,
    CONFIDENCE,
    PREDICTION,
    ClassColumn,
    NumberColumn,
    Profile,
    classes_of,
    numbers_of,
)

SHOWN = 5_000  # rows of a window that a comparison keeps, for pictures

# Subject, measure, how large the change is, its p-value, and the limits.
_Test: TypeAlias = tuple[str, str, tuple[float, float], Steps]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What the comparison of a window with a profile has found.

    Attributes:
        name: of the window, such as "served".
        rows: of the window.
        findings: one for each number.
        window: some of its rows, for pictures.
        notes: what a reader should know, as sentences.
    """

    name: str
    profile: Profile
    rows: int
    findings: tuple[Finding, ...]
    window: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Level:
        """The worst level of the findings."""
        return worst(found.level for found in self.findings)

    @property
    def metrics(self) -> dict[str, float]:
        """All numbers, by names that MLflow accepts, such as "served.B02.psi"."""
        named = {f"{self.name}.{found.subject}.{found.measure}": found for found in self.findings}
        found = {re.sub(r"[^\w .:/-]", "_", name, flags=re.ASCII): named[name] for name in named}
        return {name: float(finding.value) for name, finding in found.items()}

    def adding(self, findings: Iterable[Finding]) -> Comparison:
        """The same with more findings, such as `judged` and `judged_accuracy` make them."""
        return replace(self, findings=(*self.findings, *findings))


def verdict_of(comparisons: Iterable[Comparison]) -> Level:
    """The worst verdict; "ok" if there is none."""
    return worst(comparison.verdict for comparison in comparisons)


def compare(
    profile: Profile, window: pd.DataFrame, *, name: str = "window", limits: Limits | None = None
) -> Comparison:
    """Compare a table with the reference.

    Looked at are, for each numeric column, its distribution (`psi`, `ks`), the share of missing
    numbers and of those outside the range of the reference; for classes, their shares (`psi`); and
    how the inputs go together (`Relations`). All p-values are corrected together.

    P-values take rows as drawn at random. Pixels of a scene are random draws of that scene, if
    `PixelSample` took them, but not of all scenes there could be: two scenes always differ
    significantly. So significance alone never raises the verdict; the limits of size do.

    Args:
        window: columns as in the profile; the order doesn't matter, others are ignored. A column
            that it lacks is missing in all rows, except for `PREDICTION` and `CONFIDENCE`.
        name: what to call it in metrics and in the report.
        limits: what counts as a change.
    """
    limits = limits or Limits()
    names = [column for column in profile.columns if column in window or not _is_optional(column)]
    window = _as_known(profile, window.reindex(columns=names))
    some = window.sample(min(len(window), SHOWN), random_state=0)
    volume = judged("rows", "count", len(window))
    if len(window) < limits.min_rows:
        note = f"Too few rows for a judgement: {len(window)}, and {limits.min_rows} are needed."
        return Comparison(name, profile, len(window), (volume,), some, (note,))
    about = dict(_described(profile))
    tests = [*_columns(profile, window, limits), *_relations(profile, window, limits)]
    corrected = holm([p for _, _, (_, p), _ in tests])
    findings = [
        replace(
            judged(subject, measure, value, steps, p, limits.alpha), about=about.get(subject, "")
        )
        for (subject, measure, (value, _), steps), p in zip(tests, corrected, strict=True)
    ]
    return Comparison(name, profile, len(window), (volume, *findings), some)


def _as_known(profile: Profile, window: pd.DataFrame) -> pd.DataFrame:
    """The window with numbers where the profile has numbers."""
    are_numbers = {name: isinstance(profile.columns[name], NumberColumn) for name in window}
    return pd.DataFrame(
        {name: numbers_of(window[name]) if are_numbers[name] else window[name] for name in window},
        index=window.index,
    )


def _is_optional(column: str) -> bool:
    return column in (PREDICTION, CONFIDENCE)


def _columns(profile: Profile, window: pd.DataFrame, limits: Limits) -> Iterator[_Test]:
    for name in window:
        column = profile.columns[name]
        if isinstance(column, ClassColumn):
            yield from _of_classes(name, column, profile, window[name], limits)
        else:
            yield from _of_numbers(name, column, profile, window[name], limits)


def _of_numbers(
    name: str, column: NumberColumn, profile: Profile, values: pd.Series, limits: Limits
) -> Iterator[_Test]:
    known = values.dropna().to_numpy()
    yield _missing(name, column.missing, profile, len(values) - known.size, len(values), limits)
    if not known.size:
        return
    outside = int(((known < column.low) | (known > column.high)).sum())
    inside = profile.rows - column.missing
    yield name, "outside", increase((0, inside), (outside, known.size)), limits.outside
    counts = histogram(known, np.array(column.edges))
    yield name, "psi", psi(column.counts, counts), limits.psi
    yield name, "ks", ks(profile.sample[name].dropna().to_numpy(), known), limits.ks


def _of_classes(
    name: str, column: ClassColumn, profile: Profile, values: pd.Series, limits: Limits
) -> Iterator[_Test]:
    yield _missing(name, column.missing, profile, int(values.isna().sum()), len(values), limits)
    if values.notna().any():
        counts = classes_of(values, column.counts)
        pairs = [(column.counts.get(key, 0), count) for key, count in counts.items()]
        both = [pair for pair in pairs if any(pair)]
        yield name, "psi", psi([a for a, _ in both], [b for _, b in both]), limits.psi


def _missing(
    name: str, before: int, profile: Profile, now: int, rows: int, limits: Limits
) -> _Test:
    return name, "missing", increase((before, profile.rows), (now, rows)), limits.missing


def _described(profile: Profile) -> list[tuple[str, str]]:
    """The name of each relation, and what it is."""
    names = profile.relations.names if profile.relations else []
    return [(f"relation {number}", name) for number, name in enumerate(names, start=1)]


def _relations(profile: Profile, window: pd.DataFrame, limits: Limits) -> Iterator[_Test]:
    relations = profile.relations
    if relations is None:
        return
    reference, values = relations.values(profile.sample), relations.values(window)
    if not len(values):
        return
    for index, (subject, _) in enumerate(_described(profile)):
        a, b = reference[:, index], values[:, index]
        edges = inner_edges(a, BINS)
        yield subject, "psi", psi(histogram(a, edges), histogram(b, edges)), limits.psi
        yield subject, "ks", ks(a, b), limits.ks
