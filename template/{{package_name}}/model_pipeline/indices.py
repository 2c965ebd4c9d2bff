"""Spectral indices, computed in one place for both training and inference."""

from collections.abc import Sequence

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
    bands = {letter: spectra[band] for letter, band in IN_FORMULAS.items()}
    computed = pd.DataFrame(
        {name: spyndex.computeIndex(name, params=bands) for name in indices}, index=spectra.index
    )
    undefined = ~computed.abs().lt(float("inf"))  # infinite or NaN
    return spectra[list(IN_FORMULAS.values())].join(computed.mask(undefined, 0.0))
