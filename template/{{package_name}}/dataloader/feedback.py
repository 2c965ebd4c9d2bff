"""Labelled requests: what was served, and turned out to be something else, or not."""

from datetime import UTC, datetime, timedelta

import pandas as pd

from gaiaflow.monitoring import read_labelled

from ..model_pipeline.bands import BANDS
from ..utils import s3

DAYS = 365  # how old a request may be that a model still learns from


def labelled_requests(model: str) -> pd.DataFrame:
    """Requests whose labels came later: the bands, class, and `id` of the request."""
    until = datetime.now(UTC)
    since = until - timedelta(days=DAYS)
    found = read_labelled(s3.uri(f"serving/{model}"), since=since, until=until)
    return found.reindex(columns=[*BANDS, "class", "id"])


def with_feedback(samples: pd.DataFrame, requests: pd.DataFrame) -> pd.DataFrame:
    """Samples with labelled requests among them, marked by a column `served`.

    The rows of one request may lie side by side, so they are a block.
    """
    if requests.empty:
        return samples
    more = requests[[*BANDS, "class"]].assign(served=True)
    if "block" in samples:
        more["block"] = "served " + requests["id"]
    return pd.concat([samples.assign(served=False), more], ignore_index=True)
