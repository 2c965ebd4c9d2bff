"""The log of served requests is read as it is written, and its truth is found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from gaiaflow.monitoring import Served, read_labelled, read_served, served
from gaiaflow.serving import request_log
from gaiaflow.serving.request_log import Entry

NOW = datetime(2026, 6, 8, 12, tzinfo=UTC)
WEEK: dict[str, Any] = {"since": NOW - timedelta(days=7), "until": NOW, "version": "3"}


def write(
    place: Path,
    ago: timedelta,
    id: str,
    output: Any = ("Water", "Water"),
    version: str = "3",
    duration_ms: float = 20.0,
    error: str | None = None,
) -> None:
    """One request, as the service logs it ten seconds later."""
    inputs = pd.DataFrame({"B02": 0.1, "B03": 0.2}, index=range(len(output)))
    answer = output if isinstance(output, pd.DataFrame) else list(output)
    columns = {"row": [0]} if error else request_log.columns(inputs, answer)
    entry = Entry(NOW - ago, id, duration_ms, columns, error)
    written = entry.time + timedelta(seconds=10)
    path = place / f"{written:%Y-%m-%d}" / f"{written:%H%M%S}-{id}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(request_log.table([entry], version), path)


@pytest.fixture
def place(tmp_path: Path) -> str:
    write(tmp_path, timedelta(hours=1), "a")
    write(tmp_path, timedelta(days=6), "b", ["Urban"] * 3, duration_ms=40.0)
    write(tmp_path, timedelta(days=2), "c", error="no B03")
    write(tmp_path, timedelta(days=7, hours=1), "old")
    write(tmp_path, timedelta(hours=2), "other", version="2")
    return str(tmp_path)


def test_requests_of_the_time_and_version_count(place: str) -> None:
    found = read_served(place, **WEEK)
    assert sorted(found.rows.columns) == ["B02", "B03", "prediction"]
    assert found.rows["prediction"].value_counts().to_dict() == {"Urban": 3, "Water": 2}
    assert sorted(found.requests["failed"]) == [False, False, True]
    numbers = {one.measure: one for one in found.findings()}
    assert numbers["count"].value == 3
    assert numbers["failed"].value == pytest.approx(1 / 3)
    assert numbers["failed"].level == "ok"  # one of three may be chance
    assert numbers["median_ms"].value == 30
    assert numbers["p95_ms"].level == "ok"


def test_many_failed_or_slow_requests_are_no_chance() -> None:
    requests = pd.DataFrame({"duration_ms": [20.0] * 85 + [300.0] * 15, "failed": False})
    levels = [one.level for one in Served(pd.DataFrame(), requests).findings()]
    assert set(levels) == {"ok"}
    slow = Served(pd.DataFrame(), requests).findings(duration_ms=(200, 900))[-1]
    assert (slow.value, slow.level) == (300, "warning")
    failing = requests.assign(failed=[False] * 70 + [True] * 30)
    assert Served(pd.DataFrame(), failing).findings()[1].level == "drift"


def test_truth_that_came_later(place: str) -> None:
    folder = Path(place) / "labels"
    folder.mkdir()
    (folder / "1.csv").write_text("id,row,class\na,0,Water\na,1,Urban\nx,0,Water\n")
    later = pd.DataFrame({"id": ["a", "b"], "row": [1, 2], "class": ["Water", "Water"]})
    later.to_parquet(folder / "2.parquet")
    found = read_served(place, **WEEK)
    assert (found.right, found.labelled) == (2, 3)


def test_answers_in_several_columns_are_not_judged(tmp_path: Path) -> None:
    write(tmp_path, timedelta(hours=1), "a", pd.DataFrame({"class": ["Water", "Water"]}))
    found = read_served(str(tmp_path), **WEEK)
    assert list(found.rows.columns) == ["B02", "B03"] and found.labelled == 0


def test_a_request_before_midnight_is_written_after_it(tmp_path: Path) -> None:
    write(tmp_path, timedelta(hours=12, seconds=5), "late")
    day: dict[str, Any] = {
        "since": NOW - timedelta(days=1),
        "until": NOW - timedelta(hours=12),
        "version": "3",
    }
    assert len(read_served(str(tmp_path), **day).requests) == 1


def test_nothing_was_served(tmp_path: Path) -> None:
    found = read_served(str(tmp_path / "serving"), **WEEK)
    assert found.rows.empty and found.requests.empty
    assert [one.value for one in found.findings()] == [0]


def test_few_rows_are_kept(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "ROWS", 2)
    found = read_served(place, **WEEK)
    assert (len(found.rows), len(found.requests)) == (2, 3)


def test_labelled_requests_are_new_samples(place: str) -> None:
    times = {"since": WEEK["since"], "until": NOW}
    assert read_labelled(place, **times).empty
    folder = Path(place) / "labels"
    folder.mkdir()
    (folder / "1.csv").write_text(
        "id,row,class\na,1,Urban\nother,0,Water\nold,0,Water\nc,0,Water\n"
    )
    found = read_labelled(place, **times)
    assert found.sort_values("id").to_dict("records") == [
        {"id": "a", "class": "Urban", "B02": 0.1, "B03": 0.2},
        {"id": "other", "class": "Water", "B02": 0.1, "B03": 0.2},
    ]
