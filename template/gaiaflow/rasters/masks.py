"""Which pixels a product's own quality layer calls clear: no cloud, shadow, cirrus or defect.

Sources: Sentinel-2 L2A scene classification (ESA, S2 Products: SCL), Landsat Collection 2 Level-2
pixel quality (USGS, Landsat 8-9 Collection 2 Level 2 Science Product Guide: QA_PIXEL).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

IsClear: TypeAlias = Callable[[npt.NDArray[Any]], npt.NDArray[np.bool_]]

# No data, saturated or defective, cloud shadow, cloud (medium and high probability), thin cirrus.
SCL_NOT_CLEAR = (0, 1, 3, 8, 9, 10)

# Fill, dilated cloud, cirrus, cloud, cloud shadow.
QA_PIXEL_NOT_CLEAR = sum(1 << bit for bit in (0, 1, 2, 3, 4))


def scl_is_clear(stored: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Sentinel-2's scene classification, as numbers."""
    return np.asarray(~np.isin(stored, SCL_NOT_CLEAR))


def qa_pixel_is_clear(stored: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Landsat's pixel quality, as bits."""
    return np.asarray((stored.astype(np.uint32) & QA_PIXEL_NOT_CLEAR) == 0)


# The quality layers that we can read, by the name of their band or asset.
QUALITY_LAYERS: dict[str, IsClear] = {"scl": scl_is_clear, "qa_pixel": qa_pixel_is_clear}
