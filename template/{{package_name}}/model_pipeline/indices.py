"""Spectral indices, computed in one place for both training and inference."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import spyndex

from .bands import IN_FORMULAS

# You can add any index that spyndex computes from blue, green, red and near infrared.
INDICES = ("NDVI", "NDWI", "BNDVI")


def add_indices(spectra: pd.DataFrame, indices: Sequence[str] = INDICES) -> pd.DataFrame:
    """The bands, plus a column for each spectral index.

    Args:
        spectra: columns B02, B03, B04, B08 as reflectance (0..1), a row per pixel or sample.
        indices: names from the Awesome Spectral Indices catalogue.

    Returns:
        The same rows; an undefined index (0 / 0) is 0.
    """
    # All at once, and on plain arrays: a scene has a hundred million rows.
    bands = {letter: spectra[band].to_numpy() for letter, band in IN_FORMULAS.items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        computed = np.atleast_2d(spyndex.computeIndex(list(indices), params=bands))
    computed[~np.isfinite(computed)] = 0
    columns = {band: bands[letter] for letter, band in IN_FORMULAS.items()}
    columns |= dict(zip(indices, computed, strict=True))
    return pd.DataFrame(columns, index=spectra.index)
