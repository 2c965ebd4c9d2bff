"""Pictures of a comparison. They use matplotlib's Figure directly: no global state, no display."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from gaiaflow.monitoring.comparing import Comparison
from gaiaflow.monitoring.profiles import ClassColumn, NumberColumn, classes_of

# Told apart by colour-blind people (Okabe and Ito 2008), and by their shape: filled, and a line.
REFERENCE, WINDOW = "#56b4e9", "#d55e00"
INK = "#2b2b2b"
_ACROSS = 3
_MOST = 24  # columns; more would be too small to read, or too long
_BINS = 40


def distributions(comparison: Comparison) -> Figure | None:
    """Histograms of the numeric columns, reference and window; None if there are none."""
    columns = comparison.profile.columns
    names = [name for name in comparison.window if isinstance(columns[name], NumberColumn)][:_MOST]
    if not names or comparison.window.empty:
        return None
    down = -(-len(names) // _ACROSS)
    figure = Figure(figsize=(11, 2.5 * down + 0.4), dpi=90, layout="constrained")
    for index, name in enumerate(names):
        axes = figure.add_subplot(down, _ACROSS, index + 1)
        parts = [
            table[name].dropna().to_numpy()
            for table in (comparison.profile.sample, comparison.window)
        ]
        both = np.concatenate(parts)
        low, high = np.quantile(both, [0.002, 0.998])  # a few outliers would hide the rest
        edges = np.linspace(low, max(high, low + 1e-9), _BINS + 1)
        for values, colour, fill in zip(parts, (REFERENCE, WINDOW), (True, False), strict=True):
            counts, _ = np.histogram(np.clip(values, low, high), edges)
            axes.stairs(counts / max(len(values), 1), edges, fill=fill, color=colour, lw=1.6)
        axes.set_title(name, loc="left", fontsize=10, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.set_yticks([])
    return figure


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
