"""First stage of `segmentation`: a scene, and a mask that says what its pixels are."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
from rasterio.windows import Window

from gaiaflow.rasters import (
    Grid,
    LabelMask,
    LazyRaster,
    Raster,
    RasterError,
    apply,
    open_raster,
    read_labels,
)

from ..model.classes import Classes, classes_of
from ..model_pipeline.indices import add_indices
from ..predict.scene import description
from ..utils import s3
from .ingest import SAMPLE, scene_name
from .scene import find_data, open_scene, sample_scene, store_scene

Codes = npt.NDArray[np.float32]

NEAR = 0.1  # pixels by which a mask may miss the scene's grid: programs round its numbers
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
        RasterError: the labels don't fit the scene, or mark fewer than two classes of it.
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
        made = apply(as_bytes, mask, s3.uri(mask_key), description(classes, labels))
    if len(made.counts) < 2:
        raise RasterError(
            f"{labels} marks {len(made.counts)} of its {len(classes)} classes where the scene has "
            "data; a model needs two or more"
        )
    return {"name": scene_name(scene), "scene": scene_key, "mask": mask_key}


class Mask:
    """Class codes on the grid of a scene, by windows; NaN without a label, or without data."""

    bands = ("class",)

    def __init__(
        self, scene: LazyRaster, codes_in: Callable[[Raster, Window | None], Codes]
    ) -> None:
        """Make a mask of a function, which gets the scene in a window, and the window."""
        self.grid = scene.grid
        self.windows = scene.windows
        self._scene, self._codes_in = scene, codes_in

    def read(self, window: Window | None = None) -> Raster:
        """The codes of a window, or of everything."""
        part = self._scene.read(window)
        lacking = np.isnan(part.values).any(axis=0)
        codes = np.where(lacking, np.nan, self._codes_in(part, window)).astype(np.float32)
        return Raster(codes[np.newaxis], self.bands, part.crs, part.transform)


@contextmanager
def open_mask(labels: str, label_column: str, scene: LazyRaster) -> Iterator[tuple[Mask, Classes]]:
    """Labels as class codes on the grid of a scene, and their classes.

    Raises:
        RasterError: they don't fit the scene, or have too many classes.
    """
    with ExitStack() as stack:
        source: LazyRaster | LabelMask
        if labels == SAMPLE:
            classes = classes_of(["Open ground", "Vegetation"])
            yield Mask(scene, lambda part, _: rule_of_thumb(part, classes)), classes
            return
        if labels.lower().endswith(RASTERS):
            source = stack.enter_context(open_raster(find_data(labels)))
            classes = classes_of_mask(source, scene)
        else:
            table = read_labels(find_data(labels), label_column)
            classes = classes_of(table["class"])
            source = LabelMask(table, {name: code for name, (code, _) in classes.items()}, scene)
        if max((code for code, _ in classes.values()), default=0) > 255:
            raise RasterError(f"{labels} has {len(classes)} classes; a mask holds at most 255")
        yield Mask(scene, lambda _, window: source.read(window).values[0]), classes


def as_bytes(codes: Codes) -> npt.NDArray[np.uint8]:
    """Class codes as files have them; 0 where there is none."""
    return np.nan_to_num(codes).astype(np.uint8)


def rule_of_thumb(scene: Raster, classes: Classes) -> Codes:
    """Codes of open ground and vegetation, shape (rows, columns), by thresholds of indices.

    The sample has labelled spectra, but no labelled pixels. What a network learns from this rule is
    the rule: enough to see everything run, but not ground truth. Water is too rare here to learn;
    its pixels have no label.
    """
    _, rows, columns = scene.values.shape
    pixels = pd.DataFrame(scene.values.reshape(len(scene.bands), -1).T, columns=list(scene.bands))
    index = add_indices(pixels)
    ground, plants = (classes[name][0] for name in ("Open ground", "Vegetation"))
    codes = np.select([index["NDWI"] > 0, index["NDVI"] > 0.4], [np.nan, plants], ground)
    return codes.astype(np.float32).reshape(rows, columns)


def classes_of_mask(mask: LazyRaster, scene: LazyRaster) -> Classes:
    """The classes of a raster of codes: as its tag `classes` names them, else by their codes.

    Raises:
        RasterError: it isn't one band of codes from 1 to 255 on the scene's grid.
    """
    if differences := misfits(mask, scene):
        raise RasterError(
            f"the mask must have one band on the scene's grid, but {', and '.join(differences)}"
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


def misfits(mask: LazyRaster, scene: LazyRaster) -> list[str]:
    """What keeps a mask from being one band on the grid of a scene, as sentences."""
    found = []
    if len(mask.bands) != 1:
        found.append(f"it has {len(mask.bands)} bands")
    its, ours = mask.grid, scene.grid
    if (its.rows, its.columns) != (ours.rows, ours.columns):
        found.append(f"it has {its.rows} x {its.columns} pixels, not {ours.rows} x {ours.columns}")
    elif its.crs != ours.crs:
        found.append("its CRS differs")
    elif (pixels := shift(its, ours)) > NEAR:
        found.append(f"it lies up to {pixels:.1f} pixels away")
    return found


def shift(grid: Grid, other: Grid) -> float:
    """The largest distance between corners of two grids, in pixels of the other."""
    distance = max(map(math.dist, grid.corners, other.corners))
    return distance / math.sqrt(abs(other.transform.determinant))


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
