"""Third stage: a table of features, split into a part to learn from and a held-out part."""

from typing import Any

import pandas as pd

from ..model_pipeline.bands import BANDS
from ..model_pipeline.indices import INDICES, add_indices
from ..utils import s3

HELD_OUT = 0.3
SEED = 42  # fixed: models of different runs are compared on the same held-out samples


def features(spectra: str) -> dict[str, Any]:
    """Add spectral indices and the split to the spectra stored under this key.

    Returns:
        The S3 key `features` of the table, and the `columns` that a model learns from.
    """
    table = make_features(s3.get_table(spectra))
    return {
        "features": s3.put_table(s3.beside(spectra, "features.csv"), table),
        "columns": [*BANDS, *INDICES],
    }


def make_features(spectra: pd.DataFrame) -> pd.DataFrame:
    """The spectra with their indices, class and split ("train" or "test", stratified)."""
    table = add_indices(spectra).assign(**{"class": spectra["class"]})
    test = table.groupby("class").sample(frac=HELD_OUT, random_state=SEED).index
    return table.assign(split=["test" if row in test else "train" for row in table.index])
