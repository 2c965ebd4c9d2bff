"""First stage: put a scene and training samples into the object store."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from gaiaflow.rasters import open_raster, read_labels, sample_labels, spatial_blocks

from ..model_pipeline.bands import BANDS, FROM_LANDSAT
from ..utils import s3
from .feedback import labelled_requests, with_feedback
from .scene import find_data, open_scene, sample_scene, store_scene

SAMPLE = "sample"
BLOCK_SIZE = 250.0  # metres; pixels of one block are all learned from, or all held out


def ingest(
    scene: str = SAMPLE,
    labels: str = SAMPLE,
    label_column: str = "class",
    band_names: Sequence[str] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
    feedback: str | None = None,
) -> dict[str, Any]:
    """Store the scene as COG and the samples as a table under a new prefix.

    Args:
        scene: "sample", or a raster with at least the bands B02, B03, B04 and B08: a file in
            data/, "s3://bucket/scene.tif" or a URL.
        labels: "sample"; labelled points or polygons (GeoPackage, GeoJSON, GeoParquet), whose
            pixels of the scene become samples; or a CSV file with columns B02, B03, B04, B08
            (reflectance, 0..1), class.
        label_column: the column of points or polygons that names their class.
        band_names, scale, offset, nodata: what the scene's file doesn't say; see `open_scene`.
        feedback: a registered model whose labelled requests are samples, too.

    Returns:
        The S3 keys `scene` and `samples`, and the scene's `name`.
    """
    prefix = s3.new_prefix("landcover")
    key = f"{prefix}/scene.tif"
    if scene == SAMPLE:
        store_scene(sample_scene(), s3.uri(key))
    else:
        options = {"band_names": band_names, "scale": scale, "offset": offset, "nodata": nodata}
        with open_scene(find_data(scene), **options) as raster:  # type: ignore[arg-type]
            store_scene(raster, s3.uri(key))
    table = samples(key, labels, label_column)
    if feedback:
        table = with_feedback(table, labelled_requests(feedback))
    return {
        "name": scene_name(scene),
        "scene": key,
        "samples": s3.put_table(f"{prefix}/samples.parquet", table),
    }


def scene_name(scene: str) -> str:
    """What a scene is called in products: its path without the ending."""
    path = urlsplit(scene).path if "://" in scene else scene
    return str(PurePosixPath(path).with_suffix("")).strip("/.").replace("/", "_")


def samples(scene: str, labels: str, label_column: str) -> pd.DataFrame:
    """Training samples: a column for each band, and class. See `ingest` for the arguments.

    Those of points or polygons also have their place, and the block that they are in.
    """
    if labels == SAMPLE:
        return sample_spectra()
    place = find_data(labels)
    if place.endswith(".csv"):
        return pd.read_csv(place)
    with open_raster(s3.uri(scene)) as raster:
        table = sample_labels(raster, read_labels(place, label_column))
    return table.assign(block=spatial_blocks(table, BLOCK_SIZE))


def sample_spectra() -> pd.DataFrame:
    """The labelled Landsat 8 surface-reflectance spectra that ship with spyndex.

    120 rows; columns B02, B03, B04, B08 (reflectance, 0..1) and class.
    """
    import spyndex  # only the sample needs it

    table = spyndex.datasets.open("spectral").rename(columns=FROM_LANDSAT)
    return table[[*BANDS, "class"]].reset_index(drop=True)
