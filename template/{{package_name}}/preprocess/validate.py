"""Second stage: a gate. Bad data stops here with a message, not later as a bad model."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gaiaflow.contracts import violations
from gaiaflow.rasters import Raster, open_raster

from ..dataloader.ingest import BLOCK_SIZE
from ..model_pipeline.bands import BANDS
from ..utils import s3
from .contracts import SAMPLES

MIN_SIDE = 32  # pixels
MIN_SAMPLES = 10  # per class: enough for a held-out part and for the folds of the search
MIN_BLOCKS = 3  # per class: two to learn from, one to test on
MAX_CLASSES = 250  # codes are bytes
MAX_OUTSIDE = 0.01  # share of values that may be outside 0..1 (glint, haze, bright roofs)


def validate(scene: str, samples: str, max_nodata: float = 0.2) -> dict[str, Any]:
    """Check the scene and the samples stored under these keys. Of a large scene, it sees a part.

    Returns:
        The same keys, which make later stages depend on the check, and statistics.

    Raises:
        ValueError: the data has problems; the message lists them all.
    """
    table = s3.get_table(samples)
    with open_raster(s3.uri(scene)) as raster:
        image, grid = raster.preview(), raster.grid
    problems = check_scene(image, max_nodata) + check_samples(table)
    if problems:
        raise ValueError("The data can't be used for training:\n- " + "\n- ".join(problems))
    return {
        "scene": scene,
        "samples": samples,
        "pixels": grid.rows * grid.columns,
        "nodata_share": nodata_share(image.values),
        "classes": table["class"].value_counts().to_dict(),
    }


def check_scene(scene: Raster, max_nodata: float = 0.2) -> list[str]:
    """The problems of the scene, one sentence each; empty if there are none."""
    problems = []
    if scene.bands != BANDS:
        problems.append(f"scene: its bands are {_join(scene.bands)} instead of {_join(BANDS)}")
    rows, columns = scene.values.shape[1:]
    if min(rows, columns) < MIN_SIDE:
        problems.append(
            f"scene: {rows} x {columns} pixels; at least {MIN_SIDE} x {MIN_SIDE} are needed"
        )
    share = nodata_share(scene.values)
    if share > max_nodata:
        problems.append(f"scene: {share:.0%} of it has no data; {max_nodata:.0%} is allowed")
    return problems + _check_range("scene", scene.values)


def check_samples(table: pd.DataFrame) -> list[str]:
    """The problems of the training samples, one sentence each; empty if there are none."""
    broken = violations(table, SAMPLES, "samples")
    if any(name not in table for name in (*BANDS, "class")):
        return broken
    numbers = table[list(BANDS)].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    return broken + _check_classes(table) + _check_range("samples", numbers)


def _check_classes(table: pd.DataFrame) -> list[str]:
    counts = table["class"].value_counts()
    if not 2 <= len(counts) <= MAX_CLASSES:
        there = _join(counts.index) or "none"
        return [f"samples: {len(counts)} classes ({there}); 2 to {MAX_CLASSES} are possible"]
    problems = [
        f"samples: {count} of class {name}; at least {MIN_SAMPLES} are needed"
        for name, count in counts.items()
        if count < MIN_SAMPLES
    ]
    if "block" in table:
        blocks = table.groupby("class")["block"].nunique()
        problems += [
            f"samples: those of class {name} lie in only {count} squares of {BLOCK_SIZE:g} m; at "
            f"least {MIN_BLOCKS} are needed, so that the model is tested where it hasn't learned"
            for name, count in blocks.items()
            if count < MIN_BLOCKS
        ]
    return problems


def nodata_share(reflectance: npt.NDArray[np.floating[Any]]) -> float:
    """Share of pixels (0..1) that lack a value in any band; input (bands, rows, columns)."""
    return float((~np.isfinite(reflectance)).any(axis=0).mean())


def _check_range(what: str, values: npt.NDArray[np.floating[Any]]) -> list[str]:
    known = values[np.isfinite(values)]
    if not known.size:
        return [f"{what}: no data at all"]
    outside = float(((known < 0) | (known > 1)).mean())
    if outside <= MAX_OUTSIDE:
        return []
    return [
        f"{what}: {outside:.0%} of the values are outside 0..1 (they range from {known.min():.3g} "
        f"to {known.max():.3g}); is this reflectance, with the right scale?"
    ]


def _join(names: Any) -> str:
    return ", ".join(str(name) for name in names)
