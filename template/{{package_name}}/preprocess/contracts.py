"""Data contracts: what the tables between stages must be like. Runs and CI check the same ones."""

import numpy as np
import pandas as pd
from pandera.pandas import Check, Column, DataFrameSchema

from gaiaflow.rasters import is_plausible

from ..model_pipeline.bands import BANDS
from ..model_pipeline.indices import INDICES


def _is_reflectance(values: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(float)
    return pd.Series(is_plausible(numbers), values.index)


REFLECTANCE = Column(checks=Check(_is_reflectance, error="can't be reflectance"))
INDEX = Column(checks=Check(np.isfinite, error="is not finite"))

# The samples to learn from, as `ingest` stores them. Other columns may be there, too.
SAMPLES = DataFrameSchema(
    {
        **dict.fromkeys(BANDS, REFLECTANCE),
        "class": Column(),
        "block": Column(required=False),  # only samples with a place
    }
)

# The table of features, as `features` stores it.
FEATURES = SAMPLES.add_columns(
    {
        **dict.fromkeys(INDICES, INDEX),
        "split": Column(checks=Check.isin(["train", "test"], error="is neither train nor test")),
    }
)
