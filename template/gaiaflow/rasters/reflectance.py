"""Surface reflectance: rules for what files leave open.

1. No data. A pixel that holds 0, or another common fill value, in all bands has no data.
2. Scale. Floats are reflectance; integers of two or more bytes are reflectance x 10000, as in
   Sentinel-2 products; bytes are refused. So are scenes that are then too dark or too bright.
3. Offset. For integers, Sentinel-2's processing baseline, in a tag or the file's name, decides:
   from 04.00 on, it is -0.1. Without a baseline, it is 0 if some pixels are dark in some band. If
   none are, the file is refused: numbers of later baselines, which are 1000 higher, look like that.
4. Values that can't be reflectance are refused, however few they are.

Rules never override an argument or the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import Resampling

from gaiaflow.rasters.bands import Bands
from gaiaflow.rasters.encoding import (
    Encoding,
    Stored,
    Valid,
    Values,
    encoding_of,
    fits,
    holds,
    joined,
    parted,
)
from gaiaflow.rasters.errors import RasterError
from gaiaflow.rasters.grid import Grid, grid_of
from gaiaflow.rasters.lazy import Layer, LazyRaster, Raster, Source, named, opened
from gaiaflow.rasters.reading import block_of, say

# Sentinel-2 products store reflectance x 10000, plus 1000 since this processing baseline.
SENTINEL_2_SCALE = 1e-4
SENTINEL_2_OFFSET = -0.1
BASELINE_WITH_OFFSET = 400
LANDSAT = "scale=0.0000275 and offset=-0.2 for Landsat Collection 2"

# Common fill values for pixels without data.
FILLS = (0.0, -999.0, -9999.0, -32768.0, 65535.0, -99999.0, float(np.finfo("float32").min), 1e20)

POSSIBLE = (-0.5, 4.0)  # corrections overshoot slightly below 0; glint and snow exceed 1
BRIGHT = (0.05, 1.6)  # range for the 99th percentile of the brightest band
DARK = 0.09  # with an offset of -0.1, anything less ends up below 0
SOME = 0.01  # share of pixels
SAMPLE = 1 << 20  # pixels that the rules look at


def read_reflectance(
    source: Source,
    bands: Bands,
    *,
    band_names: Sequence[str] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> Raster:
    """Read surface reflectance, about 0..1.

    Args:
        source: a path, "s3://bucket/key", a URL, or the content of a file.
        bands: the names of the bands to read, optionally with alternative names.
        band_names: names of all bands in the file's order, instead of the file's own.
        scale: reflectance = stored x scale + offset, instead of the file's own.
        offset: as for `scale`.
        nodata: the only stored number that means "no data".

    Raises:
        RasterError: the file leaves something open; the message says which argument to set.
    """
    given = {"band_names": band_names, "scale": scale, "offset": offset, "nodata": nodata}
    with open_reflectance(source, bands, **given) as raster:  # type: ignore[arg-type]
        return raster.read()


def open_reflectance(
    source: Source,
    bands: Bands,
    *,
    band_names: Sequence[str] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> LazyRaster:
    """Open surface reflectance to read it window by window; see `read_reflectance`.

    The rules look at all pixels, or at every n-th one of a large file. Each window is checked for
    values that can't be reflectance.

    Raises:
        RasterError: as for `read_reflectance`.
    """
    with opened(source) as dataset:
        encoding = encoding_of(
            dataset, bands, band_names=band_names, scale=scale, offset=offset, nodata=nodata
        )
        grid, notes = grid_of(dataset)
        baseline = _baseline(dataset)
        layer = Layer(source, encoding, grid, block_of(dataset), Resampling.bilinear)
    with named(source):
        layers = decided([layer], grid, baseline, notes, scale=scale, offset=offset, nodata=nodata)
        say(source, notes)
    return LazyRaster(layers, check=check_possible)


def decided(
    layers: Sequence[Layer],
    grid: Grid,
    baseline: int | None,
    notes: list[str],
    *,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
    doubted: bool = False,
) -> list[Layer]:
    """The layers of a scene with what the rules add to their encodings. Appends to `notes`.

    The rules look at all bands together: whether a scene has dark pixels shows in none of them
    alone.

    Args:
        doubted: leave out an offset that seems to be applied already, as in many catalogs.

    Raises:
        RasterError: as for `read_reflectance`.
    """
    with LazyRaster(layers, grid) as raster:
        stored, valid = raster.sample(SAMPLE)
    encodings = [layer.encoding for layer in layers]
    whole = joined(encodings)
    if nodata is None:
        whole, valid = _without_fills(whole, stored, valid, notes)
    whole = _with_scale(whole, stored, valid, scale, notes)
    if doubted and offset is None:
        whole, baseline = _without_applied(whole, stored, valid, baseline, notes)
    whole = _with_offset(whole, stored, valid, offset, baseline, notes)
    check_possible(whole.decode(stored, valid), stored)
    parts = parted(whole, encodings)
    return [replace(layer, encoding=part) for layer, part in zip(layers, parts, strict=True)]


def is_plausible(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether each value can be a reflectance; NaN and infinity can't."""
    with np.errstate(invalid="ignore"):
        return np.asarray((values >= POSSIBLE[0]) & (values <= POSSIBLE[1]), bool)


def _without_fills(
    encoding: Encoding, stored: Stored, valid: Valid, notes: list[str]
) -> tuple[Encoding, Valid]:
    # All that are possible: a sample may not show them.
    fills = [fill for fill in FILLS if fits(fill, stored.dtype.name)]
    if len(stored) < 2:
        fills.remove(0)
    seen: set[float] = set()
    for fill in fills:
        filled = holds(stored, fill) & valid.all(axis=0)
        if filled.any():
            seen.add(fill)
            valid = valid & ~filled
            notes.append(
                f"{filled.mean():.1%} of its pixels hold {fill:g} in all bands, which is taken as "
                "no data (to change that, set nodata)"
            )
    fills.sort(key=lambda fill: fill not in seen)  # on other grids, only the first one counts
    return replace(encoding, fills=tuple(fills)), valid


def _with_scale(
    encoding: Encoding, stored: Stored, valid: Valid, scale: float | None, notes: list[str]
) -> Encoding:
    if scale is not None or any(number != 1 for number in encoding.scales):
        return encoding
    formula = "Set scale, perhaps with offset: reflectance = stored x scale + offset"
    if stored.dtype.kind in "iu":
        if stored.dtype.itemsize == 1:
            raise RasterError(
                f"it holds bytes without a scale, so their reflectance is unknown. {formula}; "
                "scale=0.00392 if 255 means 1. An image made for viewing is not reflectance"
            )
        if any(encoding.offsets) and max(map(abs, encoding.offsets)) > 1:
            told = f"it has an offset of {encoding.offsets[0]:g}, but no scale"
            raise RasterError(f"{told}. {formula}")
        encoding = replace(encoding, scales=(SENTINEL_2_SCALE,) * len(encoding.scales))
        notes.append("it has no scale: its integers are taken as reflectance x 10000")
    bright = _brightest(encoding.decode(stored, valid))
    if bright is not None and not BRIGHT[0] <= bright <= BRIGHT[1]:
        kind = "integers are neither" if stored.dtype.kind in "iu" else "numbers are neither"
        plain = replace(encoding, scales=(1.0,) * len(encoding.scales))
        numbers = _brightest(plain.decode(stored, valid))
        raise RasterError(
            f"it has no scale, and its {kind} reflectance nor reflectance x 10000: in the "
            f"brightest band they go up to about {numbers:.4g}. {formula}; {LANDSAT}"
        )
    return encoding


def _without_applied(
    encoding: Encoding, stored: Stored, valid: Valid, baseline: int | None, notes: list[str]
) -> tuple[Encoding, int | None]:
    """Forget an offset with which too many pixels would be below 0."""
    told = any(encoding.offsets)
    if told and not np.allclose(encoding.offsets, SENTINEL_2_OFFSET):
        return encoding, baseline  # of another mission
    lowest = _lowest(encoding.decode(stored, valid))
    if float((lowest < (DARK + SENTINEL_2_OFFSET if told else DARK)).mean()) < SOME:
        return encoding, baseline
    if told or (baseline or 0) >= BASELINE_WITH_OFFSET:
        notes.append("its offset was applied already: with it, too many pixels are below 0")
    return replace(encoding, offsets=(0.0,) * len(encoding.offsets)), None


def _with_offset(
    encoding: Encoding,
    stored: Stored,
    valid: Valid,
    offset: float | None,
    baseline: int | None,
    notes: list[str],
) -> Encoding:
    if offset is not None or any(encoding.offsets):
        return encoding
    lowest = _lowest(encoding.decode(stored, valid))
    if not lowest.size:
        return encoding
    is_dark = float((lowest < DARK).mean()) >= SOME
    is_float = stored.dtype.kind == "f"
    if is_float:
        baseline = None  # it describes the product, not values computed from it
    if baseline is None:
        if not is_dark:
            raise RasterError(
                f"it has no offset, and hardly any pixel is below {DARK} in any band, as in "
                "Sentinel-2 products since processing baseline 04.00 without their offset. "
                f"Set offset={SENTINEL_2_OFFSET} if it is one of those, offset=0 if the scene is "
                f"that bright; {LANDSAT}"
            )
        if not is_float:
            notes.append("it has no offset but dark pixels: the offset is taken as 0")
        return encoding
    said = f"Sentinel-2 processing baseline {baseline // 100:02}.{baseline % 100:02}"
    if baseline < BASELINE_WITH_OFFSET:
        notes.append(f"{said}: the offset is 0")
        return encoding
    if is_dark:
        raise RasterError(
            f"{said} has an offset of {SENTINEL_2_OFFSET}, but with it too many pixels are below "
            f"0. Set offset=0 if it was applied already, else offset={SENTINEL_2_OFFSET}"
        )
    notes.append(f"{said}: the offset is {SENTINEL_2_OFFSET}")
    return replace(encoding, offsets=(SENTINEL_2_OFFSET,) * len(encoding.offsets))


def _baseline(dataset: Any) -> int | None:
    """Sentinel-2's processing baseline, 400 for 04.00, from GDAL's tag or the product's name."""
    tagged = re.fullmatch(r"(\d\d)\.(\d\d)", dataset.tags().get("PROCESSING_BASELINE", ""))
    if tagged:
        return int(tagged[1] + tagged[2])
    named = re.search(r"S2[A-D]_MSIL[12][AC]_\w+?_N(\d{4})_", Path(dataset.name).as_posix())
    return int(named[1]) if named else None


def _brightest(values: Values) -> float | None:
    """The 99th percentile of the brightest band; None if there is no data."""
    known = [band[np.isfinite(band)] for band in values]
    return max((float(np.percentile(band, 99)) for band in known if band.size), default=None)


def _lowest(values: Values) -> Values:
    """The lowest band of each pixel that has all of them."""
    lowest = values.min(axis=0)  # NaN if any is
    return np.asarray(lowest[np.isfinite(lowest)])


def check_possible(values: Values, stored: Stored) -> None:
    wrong = np.isfinite(values) & ~is_plausible(values)
    if not wrong.any():
        return
    numbers, counts = np.unique(stored[wrong], return_counts=True)
    common = numbers[counts.argmax()]
    share = math.ceil(wrong.any(axis=0).mean() * 1000) / 10
    raise RasterError(
        f"{share:g} % of its pixels have values that can't be reflectance, most often the stored "
        f"number {common:g}. Set nodata={common:g} if that means no data; else set scale and offset"
    )
