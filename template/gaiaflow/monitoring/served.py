"""Read the log of requests that `gaiaflow.serving.request_log` writes: a row for each prediction.

Truth that came later lies beside it, in `labels/`: Parquet or CSV files with `id` and `row` of the
log, and `class`. What a model answers with several columns (`output.NAME`) is not looked at.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from scipy import stats

from gaiaflow.monitoring.findings import Finding, Steps, judged
from gaiaflow.monitoring.profiles import PREDICTION
from gaiaflow.stac import folder
from gaiaflow.stac.tables import parquet_file

ROWS = 50_000  # that are kept, chosen at random
_INPUT, _OUTPUT = "input.", "output"
_KEYS = ["id", "row"]
_AT_ONCE = 8  # files


@dataclass(frozen=True, eq=False)
class Served:
    """What was served in a time.

    Attributes:
        rows: inputs, and what was predicted as `PREDICTION`; at most 50 000, chosen at random.
        requests: a row for each, with `duration_ms` and whether it `failed`.
        right, labelled: how many predictions are right, of how many whose truth is known.
    """

    rows: pd.DataFrame
    requests: pd.DataFrame
    right: int = 0
    labelled: int = 0

    def findings(
        self, *, failed: Steps = (0.02, 0.1), duration_ms: Steps | None = None
    ) -> tuple[Finding, ...]:
        """How many requests there were, the share (0..1) that failed, and how long they took.

        A few failed or slow requests may be chance: binomial tests say whether they are.

        Args:
            failed: limits of the share that failed.
            duration_ms: limits of the time that 95 % of the requests stay below.
        """
        count = len(self.requests)
        if not count:
            return (judged("requests", "count", 0),)
        bad = int(self.requests["failed"].sum())
        times = self.requests.loc[~self.requests["failed"], "duration_ms"].dropna()
        middle, most = times.quantile([0.5, 0.95]) if len(times) else (0.0, 0.0)
        slow = int((times >= duration_ms[0]).sum()) if duration_ms else 0
        return (
            judged("requests", "count", count),
            judged("requests", "failed", bad / count, failed, _p(bad, count, failed[0])),
            judged("requests", "median_ms", float(middle)),
            judged("requests", "p95_ms", float(most), duration_ms, _p(slow, len(times), 0.05)),
        )


def _p(some: int, count: int, share: float) -> float:
    """The p-value of so many, if no more than this share was expected."""
    if not count:
        return 1.0
    return float(stats.binomtest(some, count, share, alternative="greater").pvalue)


def read_served(place: str, *, since: datetime, until: datetime, version: str) -> Served:
    """Read what a version of a model has served in a time. Few rows are in memory at once.

    Args:
        place: the model's folder, such as "s3://bucket/serving/landcover".
        since: the first moment, with a time zone.
        until: the first moment after the time that counts.
        version: of the model; what others have served doesn't count.
    """
    labels = _labels(place)
    random = np.random.default_rng(0)
    kept, requests = pd.DataFrame(), [pd.DataFrame(columns=["duration_ms", "failed"])]
    right = labelled = 0
    for whole in _parts(place, since, until):
        part = whole[whole["version"].astype(str) == version]
        failed = part["error"].notna()
        times = part.assign(failed=failed).groupby(["id", "time"])[["duration_ms", "failed"]].max()
        requests.append(times)
        answered = part[~failed]
        if _OUTPUT in answered:
            known = answered.astype({"row": int}).merge(labels, on=_KEYS)
            labelled += len(known)
            right += int((known[_OUTPUT].astype(str) == known["class"].astype(str)).sum())
        inputs = [name for name in part if name.startswith(_INPUT)]
        rows = answered[inputs].rename(columns=lambda name: name.removeprefix(_INPUT))
        if _OUTPUT in answered:
            rows[PREDICTION] = answered[_OUTPUT]
        rows["key"] = random.random(len(rows))  # the smallest keys are the choice
        kept = pd.concat([kept, rows]).nsmallest(ROWS, "key")
    table = kept.drop(columns="key", errors="ignore").reset_index(drop=True)
    each = pd.concat(requests, ignore_index=True)
    return Served(table, each.astype({"duration_ms": float, "failed": bool}), right, labelled)


def read_labelled(place: str, *, since: datetime, until: datetime) -> pd.DataFrame:
    """The requests whose truth is known by now, whichever version has answered.

    Args:
        place: the model's folder, such as "s3://bucket/serving/landcover".
        since: the first moment, with a time zone.
        until: the first moment after the time that counts.

    Returns:
        A row for each labelled row of a request: its inputs, `id` of the request, and `class`, the
        truth. The same place and times give the same order.
    """
    labels = _labels(place)
    found = [pd.DataFrame(columns=["id", "class"])]
    if len(labels):
        for part in _parts(place, since, until):
            answered = part[part["error"].isna()].astype({"row": int})
            known = answered.merge(labels, on=_KEYS).sort_values(_KEYS)
            inputs = [name for name in part if name.startswith(_INPUT)]
            rows = known[[*inputs, "id", "class"]]
            found.append(rows.rename(columns=lambda name: name.removeprefix(_INPUT)))
    return pd.concat(found, ignore_index=True)


def _parts(place: str, since: datetime, until: datetime) -> Iterator[pd.DataFrame]:
    day = since.date()
    while day <= until.date() + timedelta(days=1):  # folders have the day of writing
        files = folder(f"{place}/{day:%Y-%m-%d}")
        names = [name for name in files.names() if name.endswith(".parquet")]
        with ThreadPoolExecutor(_AT_ONCE) as threads:  # they are many and small
            for data in threads.map(files.read, names):
                if data:
                    part = pd.read_parquet(parquet_file(data))
                    time = pd.to_datetime(part["time"], utc=True)
                    yield part[(time >= since) & (time < until)]
        day += timedelta(days=1)


def _labels(place: str) -> pd.DataFrame:
    """The truth of rows; the last file counts."""
    files = folder(f"{place}/labels")
    found = [pd.DataFrame(columns=[*_KEYS, "class"])]
    for name in files.names():
        if data := files.read(name):
            if name.endswith(".parquet"):
                table = pd.read_parquet(parquet_file(data))
            else:
                table = pd.read_csv(io.BytesIO(data))
            found.append(table[[*_KEYS, "class"]])
    table = pd.concat(found).astype({"id": str, "row": int})
    return table.drop_duplicates(_KEYS, keep="last")
