"""Third stage: a table of features, split into a part to learn from and a held-out part."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from ..model_pipeline.bands import BANDS
from ..model_pipeline.indices import INDICES, add_indices
from ..utils import s3

HELD_OUT = 0.3
SEED = 42  # fixed: models of different runs are compared on the same held-out samples


def features(samples: str) -> dict[str, Any]:
    """Add spectral indices and the split to the samples stored under this key.

    Returns:
        The S3 key `features` of the table, and the `columns` that a model learns from.

    Raises:
        ValueError: the table breaks its contract.
    """
    from gaiaflow.contracts import violations  # here: other stages need no pandera

    from .contracts import FEATURES

    table = make_features(s3.get_table(samples))
    if broken := violations(table, FEATURES, "features"):
        raise ValueError("The features can't be used for training:\n- " + "\n- ".join(broken))
    return {
        "features": s3.put_table(s3.beside(samples, "features.parquet"), table),
        "columns": [*BANDS, *INDICES],
    }


def make_features(samples: pd.DataFrame) -> pd.DataFrame:
    """The samples with indices, class, split ("train" or "test"); block and `served`, if any.

    Both parts have about the same share of each class. Samples that have a block are split by
    block: neighbouring pixels look alike, and a model that is tested on neighbours of what it has
    learned from looks better than it is.
    """
    kept = [name for name in ("class", "block", "served") if name in samples]
    table = add_indices(samples).join(samples[kept]).reset_index(drop=True)
    if "block" in table:
        test = blocks_apart(table)
    else:
        test = table.groupby("class").sample(frac=HELD_OUT, random_state=SEED).index
    return table.assign(split=np.where(table.index.isin(test), "test", "train"))


def blocks_apart(table: pd.DataFrame) -> Any:
    """The row numbers of whole blocks to hold out, such that both parts have all classes.

    Raises:
        ValueError: the blocks don't allow that.
    """
    classes = table["class"]
    for seed in range(SEED, SEED + 10):
        parts = StratifiedGroupKFold(round(1 / HELD_OUT), shuffle=True, random_state=seed)
        for train, test in parts.split(table, classes, table["block"]):
            if classes[train].nunique() == classes[test].nunique() == classes.nunique():
                return test
    raise ValueError(
        "No split by place gives both parts all classes. Label each class in more places."
    )


def columns_of(table: pd.DataFrame) -> list[str]:
    """The columns that a model learns from."""
    return [name for name in table.columns if name not in ("class", "split", "block", "served")]
