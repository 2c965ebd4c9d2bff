"""First stage: put a scene and labelled spectra into the object store."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ..model_pipeline.bands import BANDS, FROM_LANDSAT
from ..utils import s3
from .scene import open_scene, sample_scene, scene_to_cog

SAMPLE = "sample"


def ingest(
    scene: str = SAMPLE,
    spectra: str = SAMPLE,
    band_names: Sequence[str] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> dict[str, Any]:
    """Store the scene as COG and the spectra as CSV under a new prefix.

    Args:
        scene: "sample", or a raster such as "data/scene.tif" or "s3://bucket/scene.tif" with at
            least the bands B02, B03, B04 and B08.
        spectra: "sample", or a CSV file with columns B02, B03, B04, B08 (reflectance, 0..1), class.
        band_names, scale, offset, nodata: what the scene's file doesn't say; see `open_scene`.

    Returns:
        The S3 keys `scene` and `spectra`.
    """
    if scene == SAMPLE:
        image = sample_scene()
    else:
        image = open_scene(scene, band_names=band_names, scale=scale, offset=offset, nodata=nodata)
    table = sample_spectra() if spectra == SAMPLE else pd.read_csv(spectra)

    prefix = s3.new_prefix("landcover")
    return {
        "scene": s3.put(f"{prefix}/scene.tif", scene_to_cog(image)),
        "spectra": s3.put_table(f"{prefix}/spectra.csv", table),
    }


def sample_spectra() -> pd.DataFrame:
    """The labelled Landsat 8 surface-reflectance spectra that ship with spyndex.

    120 rows; columns B02, B03, B04, B08 (reflectance, 0..1) and class.
    """
    import spyndex  # only the sample needs it

    table = spyndex.datasets.open("spectral").rename(columns=FROM_LANDSAT)
    return table[[*BANDS, "class"]].reset_index(drop=True)
