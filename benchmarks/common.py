"""What all benchmarks share: rows with goals, timing, and what to say while it takes its time."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal


class CannotMeasure(Exception):
    """Something that a benchmark needs is missing. The message says what to do."""


@dataclass(frozen=True)
class Goal:
    """The most that a row may reach: as a ratio, as a difference, or of our value itself."""

    of: Literal["ratio", "difference", "value"]
    limit: float


@dataclass(frozen=True)
class Row:
    """One line of the table: what we need, and what a floor or a peer needs for the same."""

    name: str
    ours: float
    peer: float | None = None
    against: str = ""
    unit: str = "s"
    goal: Goal | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's."""
        return self.ours / self.peer if self.peer else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none, or nothing to compare with."""
        if self.goal is None:
            return None
        difference = None if self.peer is None else self.ours - self.peer
        values = {"ratio": self.ratio, "difference": difference, "value": self.ours}
        value = values[self.goal.of]
        return None if value is None else value <= self.goal.limit

    @property
    def goal_text(self) -> str:
        """The goal as the issue states it."""
        if self.goal is None:
            return ""
        limit = f"{self.goal.limit:g}"
        forms = {
            "ratio": f"≤ {limit} x",
            "difference": f"≤ +{limit} {self.unit}",
            "value": f"≤ {limit} {self.unit}",
        }
        return forms[self.goal.of]


def interleaved(
    actions: Mapping[str, Callable[[], float]], repeat: int, why: str
) -> dict[str, float]:
    """The median of each action's results (A B C, A B C, ...), so that all share the noise."""
    results: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(1, repeat + 1):
        for name, action in actions.items():
            result = action()
            results[name].append(result)
            say(f"  {why} {turn}/{repeat}: {name} {result:.3g}")
    return {name: statistics.median(values) for name, values in results.items()}


def seconds(action: Callable[[], object]) -> float:
    """The wall time that an action takes."""
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def say(text: str) -> None:
    """Tell what is under way; standard output stays free for the table."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
