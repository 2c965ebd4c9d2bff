"""What the monitor must find every time, and how rarely it may be wrong, on the example's scene."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gaiaflow.monitoring import Limits, Profile, compare

from .conftest import BANDS, Window

WINDOWS = 25
Change = Callable[[Any], Any]


def test_at_most_two_of_200_windows_of_the_same_data_alarm(
    profile: Profile, window: Window
) -> None:
    verdicts = [compare(profile, window(seed)).verdict for seed in range(200)]
    assert sum(verdict != "ok" for verdict in verdicts) <= 2


@pytest.mark.parametrize("rows", [Limits.min_rows, 20_000])
def test_nor_do_small_and_large_windows(profile: Profile, window: Window, rows: int) -> None:
    assert {compare(profile, window(seed, rows)).verdict for seed in range(20)} == {"ok"}


@pytest.mark.parametrize("reference", range(2))
def test_nor_does_it_depend_on_the_reference(window: Window, reference: int) -> None:
    profile = Profile.of(window(2_000_000 + reference, 2000))
    assert {compare(profile, window(seed)).verdict for seed in range(20)} == {"ok"}


def scaled(band: str) -> Change:
    return lambda pixels: pixels.assign(**{band: pixels[band] * 1.1})


def shifted(band: str) -> Change:
    return lambda pixels: pixels.assign(**{band: pixels[band] + 0.1 * pixels[band].mean()})


def swapped(first: str, second: str) -> Change:
    return lambda pixels: pixels.assign(**{first: pixels[second], second: pixels[first]})


def clouds(pixels: Any) -> Any:
    """Where clouds are: over 40 % of the pixels."""
    return np.arange(len(pixels)) % 100 < 41


def cloudy(pixels: Any) -> Any:
    """Bright and nearly white under clouds."""
    random, under = np.random.default_rng(0), clouds(pixels)
    white = random.uniform(0.25, 0.9, (under.sum(), 1)) + random.normal(0, 0.02, (1, len(BANDS)))
    changed = pixels.copy()
    changed.loc[under] = white
    return changed


def masked(pixels: Any) -> Any:
    """No data where a mask has removed clouds."""
    changed = pixels.copy()
    changed.loc[clouds(pixels)] = np.nan
    return changed


CHANGES = {
    **{f"{band} + 10 %": shifted(band) for band in BANDS},
    **{f"{a} and {b} swapped": swapped(a, b) for a, b in itertools.combinations(BANDS, 2)},
    "clouds": cloudy,
    "masked clouds": masked,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_is_found_every_time(profile: Profile, window: Window, change: Change) -> None:
    verdicts = [compare(profile, window(seed, change=change)).verdict for seed in range(WINDOWS)]
    assert set(verdicts) == {"drift"}


@pytest.mark.parametrize("band", BANDS)
def test_a_wrong_scale_is_found_too(profile: Profile, window: Window, band: str) -> None:
    verdicts = [compare(profile, window(seed, change=scaled(band))).verdict for seed in range(10)]
    assert set(verdicts) == {"drift"}


def test_relations_find_what_single_columns_do_not(profile: Profile, window: Window) -> None:
    """A change that leaves each band's distribution as it is: each band shuffled by itself."""
    random = np.random.default_rng(0)

    def shuffled(pixels: Any) -> Any:
        return pixels.apply(lambda band: random.permutation(band.to_numpy()))

    found = compare(profile, window(0, change=shuffled)).findings
    assert all(one.level == "ok" for one in found if one.subject in BANDS)
    assert any(one.level == "drift" for one in found if one.subject.startswith("relation"))
