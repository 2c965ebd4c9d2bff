"""First stage: gather what the champion has served and mapped lately."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from gaiaflow.monitoring import read_served
from gaiaflow.stac import collection_items

from ..model_pipeline.bands import BANDS
from ..model_pipeline.registry import champion_version
from ..postprocess.products import COLLECTION, sample_key
from ..utils import s3


def collect(name: str = "landcover", days: int = 7) -> dict[str, Any]:
    """Store what the champion has served and mapped in the last days.

    Returns:
        `name` and `version` of the champion; the times `since` and `until`; the S3 keys `served`,
        `requests` and `mapped` of tables; the number of `scenes`; and how many predictions turned
        out `right`, of how many `labelled` ones.

    Raises:
        LookupError: there is no champion.
    """
    version = champion_version(name)
    if version is None:
        raise LookupError(
            f"The model {name!r} has no champion to watch. Train one first: "
            "python3 mlops_manager.py run landcover"
        )
    until = datetime.now(UTC)
    since = until - timedelta(days=days)
    place = s3.uri(f"serving/{name}")
    served = read_served(place, since=since, until=until, version=version)
    mapped = mapped_pixels(f"models:/{name}/{version}", since)
    prefix = s3.new_prefix("monitor")
    return {
        "name": name,
        "version": version,
        "since": f"{since:%Y-%m-%d %H:%M}",
        "until": f"{until:%Y-%m-%d %H:%M} UTC",
        "served": s3.put_table(f"{prefix}/served.parquet", served.rows),
        "requests": s3.put_table(f"{prefix}/requests.parquet", served.requests),
        "mapped": s3.put_table(f"{prefix}/mapped.parquet", pd.concat([_EMPTY, *mapped])),
        "scenes": len(mapped),
        "right": served.right,
        "labelled": served.labelled,
    }


def mapped_pixels(model: str, since: datetime) -> list[pd.DataFrame]:
    """Some pixels of each scene that a model has mapped since then: of all scenes as many."""
    found = []
    for item in collection_items(s3.uri(COLLECTION)):
        facts = item["properties"]
        is_new = datetime.fromisoformat(facts["created"]) >= since
        # Maps of earlier releases have no sample.
        if facts.get("gaiaflow:model") == model and is_new and "sample" in item["assets"]:
            found.append(s3.get_table(sample_key(item["id"])))
    return found


_EMPTY = pd.DataFrame(columns=list(BANDS), dtype="float32")
