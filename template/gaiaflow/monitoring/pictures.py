"""Pictures of a comparison. They use matplotlib's Figure directly: no global state, no display.

matplotlib is only imported for a picture: training and serving need none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gaiaflow.monitoring.comparing import Comparison
from gaiaflow.monitoring.measures import Numbers
from gaiaflow.monitoring.profiles import ClassColumn, NumberColumn, classes_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Its title, and the numbers of the reference and of the window.
Panel: TypeAlias = tuple[str, Numbers, Numbers]

# Told apart by colour-blind people (Okabe and Ito 2008), and by their shape: filled, and a line.
REFERENCE, WINDOW = "#56b4e9", "#d55e00"
INK = "#2b2b2b"
_ACROSS = 3
_MOST = 24  # columns; more would be too small to read, or too long
_BINS = 40


def distributions(comparison: Comparison) -> Figure | None:
    """Histograms, reference and window: of the numeric columns, and of relations that changed."""
    panels = [*_columns(comparison), *_relations(comparison)][:_MOST]
    if not panels:
        return None
    down = -(-len(panels) // _ACROSS)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.5 * down + 0.4), dpi=90, layout="constrained")
    for index, (title, reference, window) in enumerate(panels):
        axes = figure.add_subplot(down, _ACROSS, index + 1)
        # A few outliers would hide the rest: they are in the first and the last bin.
        low, high = np.quantile(np.concatenate([reference, window]), [0.002, 0.998])
        edges = np.linspace(low, max(high, low + 1e-9), _BINS + 1)
        for values, colour, fill in ((reference, REFERENCE, True), (window, WINDOW, False)):
            counts, _ = np.histogram(np.clip(values, low, high), edges)
            axes.stairs(counts / max(len(values), 1), edges, fill=fill, color=colour, lw=1.6)
        axes.set_title(title, loc="left", fontsize=10, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.set_yticks([])
    return figure


def _columns(comparison: Comparison) -> Iterator[Panel]:
    profile, window = comparison.profile, comparison.window
    for name in window:
        if isinstance(profile.columns[name], NumberColumn) and not window.empty:
            yield name, *(table[name].dropna().to_numpy() for table in (profile.sample, window))


def _relations(comparison: Comparison) -> Iterator[Panel]:
    relations = comparison.profile.relations
    changed = {found.title for found in comparison.findings if found.level != "ok"}
    if relations is None or comparison.window.empty:
        return
    reference, window = (
        relations.values(table) for table in (comparison.profile.sample, comparison.window)
    )
    for index, name in enumerate(relations.names):
        title = f"relation {index + 1}: {name}"
        if title in changed:
            yield title, reference[:, index], window[:, index]


def shares(comparison: Comparison) -> Figure | None:
    """The shares of classes, reference and window, side by side; None if there are none."""
    columns = comparison.profile.columns
    found = {
        name: column
        for name in comparison.window
        if isinstance(column := columns[name], ClassColumn)
    }
    if not found or comparison.window.empty:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.8 * len(found)), dpi=90, layout="constrained")
    for index, (name, column) in enumerate(found.items()):
        axes = figure.add_subplot(len(found), 1, index + 1)
        now = classes_of(comparison.window[name], column.counts)
        known = [key for key in now if column.counts.get(key) or now[key]]
        for counts, colour, side, label, pattern in (
            (column.counts, REFERENCE, -0.2, "reference", ""),
            (now, WINDOW, 0.2, comparison.name, "//"),
        ):
            total = max(sum(counts.values()), 1)
            heights = [counts.get(key, 0) / total for key in known]
            bars = axes.bar(
                np.arange(len(known)) + side,
                heights,
                0.38,
                label=label,
                color=colour,
                hatch=pattern,
                edgecolor="white",
            )
            axes.bar_label(bars, [f"{height:.0%}" for height in heights], fontsize=8, color=INK)
        axes.set_xticks(range(len(known)), known)
        axes.set_title(name, loc="left", fontsize=10, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_yticks([])
        axes.legend(frameon=False, fontsize=9)
    return figure
