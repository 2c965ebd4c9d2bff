"""What a comparison looks at, and how it judges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gaiaflow.monitoring import (
    Comparison,
    Finding,
    Limits,
    Profile,
    compare,
    judged,
    judged_accuracy,
    verdict_of,
)
from gaiaflow.monitoring.measures import holm, psi

from .conftest import BANDS, Window


def found(comparison: Comparison, subject: str, measure: str) -> Finding:
    [one] = [f for f in comparison.findings if (f.subject, f.measure) == (subject, measure)]
    return one


def test_a_profile_survives_json(window: Window) -> None:
    table = window(7).assign(soil=["clay", "sand"] * 500)
    table.loc[:9, "B02"] = np.nan
    profile = Profile.of(table)
    again = Profile.from_json(profile.to_json())
    assert again.rows == profile.rows == 1000
    assert again.columns == profile.columns
    pd.testing.assert_frame_equal(again.sample, profile.sample)
    other = window(8).assign(soil="clay")
    metrics = [compare(each, other).metrics for each in (profile, again)]
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize("text", ["{}", "[]", '{"version": 2}'])
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a profile"):
        Profile.from_json(text)


def test_a_profile_needs_values() -> None:
    with pytest.raises(ValueError, match="needs rows"):
        Profile.of(pd.DataFrame({"B02": []}))
    with pytest.raises(ValueError, match="B02 has no values"):
        Profile.of(pd.DataFrame({"B02": [np.nan, np.inf]}))


def test_the_index_follows_its_distribution() -> None:
    """Of two samples from one population, its p-values are uniform (Yurdakul 2018)."""
    random = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    pairs = [
        (random.multinomial(2000, shares), random.multinomial(900, shares)) for _ in range(500)
    ]
    p = [psi(*pair)[1] for pair in pairs]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert psi([900, 100], [500, 500])[0] == pytest.approx(0.4 * np.log(9), rel=0.01)


def test_p_values_are_corrected() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_a_trifle_in_a_huge_window_is_ok(window: Window) -> None:
    trifle = window(3, 200_000, lambda pixels: pixels * 1.02)
    comparison = compare(Profile.of(window(4, 50_000)), trifle)
    assert min(one.p for one in comparison.findings if one.p is not None) < 1e-6
    assert max(one.value for one in comparison.findings if one.measure == "psi") > 0.015
    assert comparison.verdict == "ok"


def test_few_rows_are_not_judged(profile: Profile, window: Window) -> None:
    few = window(3, 199, lambda pixels: pixels * 3)
    comparison = compare(profile, few)
    assert comparison.verdict == "ok"
    assert comparison.notes == ("Too few rows for a judgement: 199, and 200 are needed.",)
    assert compare(profile, few, limits=Limits(min_rows=100)).verdict == "drift"
    assert compare(profile, pd.DataFrame()).rows == 0


def test_limits_decide(profile: Profile, window: Window) -> None:
    darker = window(3, change=lambda pixels: pixels * 0.93)
    wide = Limits(psi=(9, 9), ks=(1, 1))
    assert compare(profile, darker, limits=Limits(psi=(0.02, 9), ks=(1, 1))).verdict == "warning"
    assert compare(profile, darker, limits=wide).verdict == "ok"


def test_missing_and_impossible_numbers(profile: Profile, window: Window) -> None:
    broken = window(3)
    broken.loc[:99, "B03"] = np.inf
    broken.loc[:299, "B08"] = 7.0
    comparison = compare(profile, broken)
    assert found(comparison, "B03", "missing").value == pytest.approx(0.1)
    assert found(comparison, "B03", "missing").level == "warning"
    assert found(comparison, "B08", "outside").value == pytest.approx(0.3)
    assert found(comparison, "B08", "outside").level == "drift"
    text = compare(profile, window(3).assign(B02="n/a"))
    assert found(text, "B02", "missing").level == "drift"
    lost = compare(profile, window(3).drop(columns="B04"))
    assert found(lost, "B04", "missing").value == 1


def test_a_window_may_lack_what_the_model_says(profile: Profile, window: Window) -> None:
    comparison = compare(profile, window(3)[BANDS])
    assert comparison.verdict == "ok"
    assert not {"prediction", "confidence"} & {one.subject for one in comparison.findings}


def test_shares_and_confidence(profile: Profile, window: Window) -> None:
    same = window(3)
    only = same.assign(prediction=np.where(np.arange(1000) < 600, "Snow", same["prediction"]))
    assert found(compare(profile, only), "prediction", "psi").level == "drift"
    unsure = same.assign(confidence=same["confidence"] * 0.8)
    assert found(compare(profile, unsure), "confidence", "ks").level == "drift"


def test_one_column_has_no_relations() -> None:
    table = pd.DataFrame({"height": np.random.default_rng(0).normal(size=500)})
    profile = Profile.of(table)
    assert profile.relations is None
    assert compare(profile, table).verdict == "ok"
    assert compare(profile, table + 1).verdict == "drift"


def test_constants_and_few_values() -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"flag": random.integers(0, 2, 500), "zero": 0.0, "b": random.random(500)})
    profile = Profile.of(table)
    assert compare(profile, table).verdict == "ok"
    assert found(compare(profile, table.assign(zero=1.0)), "zero", "ks").level == "drift"
    assert found(compare(profile, table.assign(flag=1)), "flag", "ks").level == "drift"


def test_accuracy_is_judged_by_what_is_labelled(profile: Profile, window: Window) -> None:
    assert judged_accuracy(0, 0, 0.95) == ()
    assert {one.level for one in judged_accuracy(8, 10, 1.0)} == {"ok"}  # could be chance
    assert {one.level for one in judged_accuracy(930, 1000, 1.0)} == {"ok"}  # hardly worse
    assert judged_accuracy(700, 1000, 0.95)[-1].level == "drift"
    comparison = compare(profile, window(3)).adding(judged_accuracy(860, 1000, 0.95))
    assert comparison.verdict == verdict_of([compare(profile, window(3)), comparison]) == "warning"
    assert comparison.metrics["window.truth.accuracy"] == 0.86


def test_levels() -> None:
    steps = (0.1, 0.2)
    levels = [judged("a", "b", value, steps).level for value in (0.09, 0.1, 0.2)]
    assert levels == ["ok", "warning", "drift"]
    assert judged("a", "b", 9).level == judged("a", "b", 9, steps, p=0.5).level == "ok"
    assert verdict_of([]) == "ok"


def test_metrics_have_names_that_mlflow_takes(profile: Profile, window: Window) -> None:
    wide = window(3).rename(columns={"B02": "Höhe (m)"})
    names = compare(Profile.of(wide), wide, name="served").metrics
    assert "served.H_he _m_.psi" in names
    values: list[Any] = list(names.values())
    assert all(isinstance(value, float) and np.isfinite(value) for value in values)


def test_a_model_that_is_always_sure_does_not_alarm() -> None:
    """Its confidences differ in the eighth digit only, which is not a change."""
    random = np.random.default_rng(0)

    def sure(rows: int) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "B02": random.normal(size=rows),
                "confidence": 1 - 10.0 ** random.uniform(-12, -6, rows),
            }
        )

    profile = Profile.from_json(Profile.of(sure(2000)).to_json())
    assert compare(profile, sure(1000)).verdict == "ok"
    assert compare(profile, sure(1000).assign(confidence=0.8)).verdict == "drift"
