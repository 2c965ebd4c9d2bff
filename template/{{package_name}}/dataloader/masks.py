"""First stage of `segmentation`: a scene, and a mask that says what its pixels are."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio

from gaiaflow.rasters import (
    LabelMask,
    LazyRaster,
    Raster,
    RasterError,
    apply,
    open_raster,
    read_labels,
)

from ..model.classes import Classes, classes_of
from ..model_pipeline.bands import BANDS
from ..model_pipeline.indices import add_indices
from ..predict.scene import description
from ..utils import s3
from .ingest import SAMPLE, scene_name
from .scene import find_data, open_scene, sample_scene, store_scene

RASTERS = (".tif", ".tiff", ".jp2", ".vrt")


def ingest(
    scene: str = SAMPLE,
    labels: str = SAMPLE,
    label_column: str = "class",
    band_names: Sequence[str] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> dict[str, Any]:
    """Store the scene and its mask of classes as COGs under a new prefix.

    Args:
        scene: "sample", or a raster with at least the bands B02, B03, B04 and B08: a file in
            data/, "s3://bucket/scene.tif" or a URL.
        labels: "sample"; labelled polygons or points (GeoPackage, GeoJSON, GeoParquet); or a
            raster of class codes on the scene's grid, such as a map of `landcover`. Pixels without
            a label don't count.
        label_column: the column of polygons or points that names their class.
        band_names, scale, offset, nodata: what the scene's file doesn't say; see `open_scene`.

    Returns:
        The S3 keys `scene` and `mask`, and the scene's `name`.

    Raises:
        RasterError: the mask doesn't fit the scene, or has fewer than two classes.
    """
    prefix = s3.new_prefix("segmentation")
    scene_key, mask_key = f"{prefix}/scene.tif", f"{prefix}/mask.tif"
    if scene == SAMPLE:
        store_scene(sample_scene(), s3.uri(scene_key))
    else:
        options = {"band_names": band_names, "scale": scale, "offset": offset, "nodata": nodata}
        with open_scene(find_data(scene), **options) as raster:  # type: ignore[arg-type]
            store_scene(raster, s3.uri(scene_key))
    with open_raster(s3.uri(scene_key)) as stored, open_mask(labels, label_column, stored) as found:
        mask, classes = found
        apply(as_bytes, mask, s3.uri(mask_key), description(classes, labels))
    return {"name": scene_name(scene), "scene": scene_key, "mask": mask_key}


@contextmanager
def open_mask(
    labels: str, label_column: str, scene: LazyRaster
) -> Iterator[tuple[Raster | LazyRaster | LabelMask, Classes]]:
    """Labels as a raster of class codes on the grid of a scene, and their classes.

    Raises:
        RasterError: they don't fit the scene, or have fewer than two classes.
    """
    with ExitStack() as stack:
        mask: Raster | LazyRaster | LabelMask
        if labels == SAMPLE:
            classes = classes_of(["Open ground", "Vegetation"])
            mask = rule_of_thumb(scene.read(), classes)
        elif labels.lower().endswith(RASTERS):
            mask = stack.enter_context(open_raster(find_data(labels)))
            classes = classes_of_mask(mask, scene)
        else:
            table = read_labels(find_data(labels), label_column)
            classes = classes_of(table["class"])
            mask = LabelMask(table, {name: code for name, (code, _) in classes.items()}, scene)
        if len(classes) < 2:
            found = ", ".join(classes) or "no class"
            raise RasterError(f"{labels} has only {found}; a model needs two classes or more")
        yield mask, classes


def as_bytes(codes: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Class codes as files have them; 0 where there is none."""
    return np.nan_to_num(codes).astype(np.uint8)


def rule_of_thumb(scene: Raster, classes: Classes) -> Raster:
    """Codes of open ground and vegetation, by thresholds of spectral indices.

    The sample has labelled spectra, but no labelled pixels. What a network learns from this rule is
    the rule: enough to see everything run, and no ground truth. Water is too rare here to learn;
    its pixels have no label.
    """
    _, rows, columns = scene.values.shape
    pixels = pd.DataFrame(scene.values.reshape(len(BANDS), -1).T, columns=list(scene.bands))
    index = add_indices(pixels)
    ground, plants = (classes[name][0] for name in ("Open ground", "Vegetation"))
    codes = np.select([index["NDWI"] > 0, index["NDVI"] > 0.4], [np.nan, plants], ground)
    values = codes.astype(np.float32).reshape(1, rows, columns)
    return Raster(values, ("class",), scene.crs, scene.transform)


def classes_of_mask(mask: LazyRaster, scene: LazyRaster) -> Classes:
    """The classes of a raster of codes: as its tag `classes` names them, else by their codes.

    Raises:
        RasterError: it isn't one band of codes from 1 to 255 on the scene's grid.
    """
    if mask.grid != scene.grid or len(mask.bands) != 1:
        raise RasterError(
            "the mask must have one band on the grid of the scene: "
            f"{scene.grid.rows} x {scene.grid.columns} pixels, in the same place"
        )
    found: set[float] = set()
    for window in mask.windows(1 << 20):
        values = mask.read(window).values
        found |= set(np.unique(values[np.isfinite(values)]).tolist())
    codes = sorted(code for code in found if code)
    if any(code != int(code) or not 0 < code < 256 for code in codes):
        raise RasterError(f"the mask's codes must be whole numbers from 1 to 255, not {codes[:9]}")
    names = names_of_codes(mask)
    return named({int(code): names.get(int(code), f"class {code:g}") for code in codes})


def named(names: Mapping[int, str]) -> Classes:
    """Classes with these codes, in their order, and the colours that `classes_of` gives them."""
    colours = {name: colour for name, (_, colour) in classes_of(names.values()).items()}
    return {name: (code, colours[name]) for code, name in sorted(names.items())}


def names_of_codes(mask: LazyRaster) -> dict[int, str]:
    """The names of codes, which our masks and maps have in their tags."""
    [layer] = mask.layers
    with rasterio.open(layer.source) as dataset:
        known = json.loads(dataset.tags().get("classes", "{}"))
    return {int(code): str(name) for code, name in known.items()}
