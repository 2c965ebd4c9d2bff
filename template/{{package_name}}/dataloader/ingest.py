"""First stage: bring a scene and labelled spectra into the object store."""

from typing import Any

import pandas as pd

from ..model_pipeline.bands import BANDS, FROM_LANDSAT
from ..utils import s3
from .scene import open_scene, sample_scene, scene_to_cog

SAMPLE = "sample"


def ingest(scene: str = SAMPLE, spectra: str = SAMPLE) -> dict[str, Any]:
    """Store the scene as COG and the spectra as CSV under a new prefix.

    Args:
        scene: "sample", or a raster file such as "data/scene.tif" (4 bands, named B02, B03, B04
            and B08 by their descriptions).
        spectra: "sample", or a CSV file with columns B02, B03, B04, B08 (reflectance, 0..1), class.

    Returns:
        The S3 keys `scene` and `spectra`.
    """
    image = sample_scene() if scene == SAMPLE else open_scene(scene)
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
