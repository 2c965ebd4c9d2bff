"""Batch inference: classify every pixel of a scene."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from gaiaflow.rasters import Raster

from ..model.classes import CLASSES, NODATA


class Model(Protocol):
    """Anything that turns band reflectances into class names, such as a loaded MLflow model."""

    def predict(self, data: pd.DataFrame) -> Any: ...


def classify(model: Model, scene: Raster) -> npt.NDArray[np.uint8]:
    """The class code of each pixel, shape (rows, columns); NODATA where a band has no value.

    Raises:
        ValueError: the model predicts a class that has no code.
    """
    valid = np.isfinite(scene.values).all(axis=0)
    codes = np.full(valid.shape, NODATA, np.uint8)
    if valid.any():
        # One call for all pixels: a column per band, a row per pixel.
        pixels = pd.DataFrame(scene.values[:, valid].T.astype(float), columns=scene.bands)
        names = pd.Series(np.asarray(model.predict(pixels)))
        found = names.map({name: code for name, (code, _) in CLASSES.items()})
        if found.isna().any():
            raise ValueError(f"the model predicts unknown classes: {set(names) - set(CLASSES)}")
        codes[valid] = found
    return codes


def class_shares(codes: npt.NDArray[np.uint8]) -> dict[str, float]:
    """The share (0..1) of each class in the pixels that have data."""
    total = max(int((codes != NODATA).sum()), 1)
    return {name: int((codes == code).sum()) / total for name, (code, _) in CLASSES.items()}
