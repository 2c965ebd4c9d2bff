"""Second stage: a gate. Bad data stops here with a message, not later as a bad model."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gaiaflow.rasters import Raster, is_plausible, read

from ..model.classes import CLASSES
from ..model_pipeline.bands import BANDS
from ..utils import s3

MIN_SIDE = 32  # pixels
MIN_SAMPLES = 10  # per class: enough for a held-out part and for the folds of the search
MAX_OUTSIDE = 0.01  # share of values that may be outside 0..1 (glint, haze, bright roofs)


def validate(scene: str, spectra: str, max_nodata: float = 0.2) -> dict[str, Any]:
    """Check the scene and the spectra stored under these keys.

    Returns:
        The same keys, which make later stages depend on the check, and statistics.

    Raises:
        ValueError: the data has problems; the message lists them all.
    """
    image, table = read(s3.get(scene)), s3.get_table(spectra)
    problems = check_scene(image, max_nodata) + check_spectra(table)
    if problems:
        raise ValueError("The data can't be used for training:\n- " + "\n- ".join(problems))
    return {
        "scene": scene,
        "spectra": spectra,
        "pixels": image.values[0].size,
        "nodata_share": nodata_share(image.values),
        "samples": table["class"].value_counts().to_dict(),
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


def check_spectra(table: pd.DataFrame) -> list[str]:
    """The problems of the labelled spectra, one sentence each; empty if there are none."""
    missing = [name for name in (*BANDS, "class") if name not in table]
    if missing:
        return [f"spectra: no column {_join(missing)}"]
    problems = []
    incomplete = int(table[[*BANDS, "class"]].isna().any(axis=1).sum())
    if incomplete:
        problems.append(f"spectra: {incomplete} of {len(table)} rows have gaps (NaN)")
    numbers = table[list(BANDS)].apply(pd.to_numeric, errors="coerce")
    impossible = ~is_plausible(numbers.to_numpy(float)) & table[list(BANDS)].notna().to_numpy()
    if impossible.any():
        example = table[list(BANDS)].to_numpy()[impossible][0]
        problems.append(
            f"spectra: {impossible.any(axis=1).sum()} of {len(table)} rows have values that can't "
            f"be reflectance, such as {example}"
        )
    counts = table["class"].value_counts()
    problems += [
        f"spectra: {counts.get(name, 0)} samples of class {name}; at least {MIN_SAMPLES} are needed"
        for name in CLASSES
        if counts.get(name, 0) < MIN_SAMPLES
    ]
    unknown = sorted(set(counts.index) - set(CLASSES))
    if unknown:
        problems.append(f"spectra: unknown class {_join(unknown)}; known are {_join(CLASSES)}")
    return problems + _check_range("spectra", numbers.to_numpy(float))


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
