"""What a model sees and says: its inputs, predictions and confidence, pixel by pixel."""

from contextlib import suppress
from typing import Any

import pandas as pd

from gaiaflow.monitoring import CONFIDENCE, PREDICTION, Profile
from gaiaflow.rasters import open_raster, sample_pixels

from ..model_pipeline.bands import BANDS
from ..utils import s3


def profile_of(model: Any, scene: str) -> Profile:
    """The reference profile of a model: pixels of the scene stored under this key.

    Not of the training samples: these have as many pixels of a rare class as of a common one, so
    each scene would look different from them.

    Args:
        model: trained, or loaded from MLflow.
    """
    with open_raster(s3.uri(scene)) as raster:
        return Profile.of(observe(model, sample_pixels(raster)))


def observe(model: Any, pixels: pd.DataFrame) -> pd.DataFrame:
    """The bands of each pixel, the class that the model predicts, and its probability (0..1).

    A pixel that lacks a band has no class, and no pixel has a probability if the model has none.
    """
    table = pixels[list(BANDS)].astype(float)
    known = table.dropna()
    if known.empty:
        return table
    table[PREDICTION] = pd.Series(model.predict(known), known.index, dtype=object)
    raw = model
    with suppress(AttributeError, NotImplementedError):  # not loaded from MLflow, or not a wrapper
        raw = model.get_raw_model()
    if hasattr(raw, "predict_proba"):
        table[CONFIDENCE] = pd.Series(raw.predict_proba(known).max(axis=1), known.index)
    return table
