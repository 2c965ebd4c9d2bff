"""Decode the numbers stored in a file: scale, offset and "no data"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp, MaskFlags

from gaiaflow.rasters.bands import Bands, find_bands
from gaiaflow.rasters.errors import RasterError

Stored: TypeAlias = npt.NDArray[Any]
Valid: TypeAlias = npt.NDArray[np.bool_]
Values: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Encoding:
    """The selected bands of a file, and their encoding: value = stored x scale + offset.

    Attributes:
        bands: number in the file, by name.
        scales, offsets: one for each band.
        nodata: for each band, the stored number that means "no data", or None.
        fills: a pixel with one of these numbers in all bands has no data either.
        masks: numbers of the bands whose mask applies.
        alpha: the number of the band that marks pixels with data, or None.
    """

    bands: dict[str, int]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    nodata: tuple[float | None, ...]
    masks: frozenset[int]
    alpha: int | None
    fills: tuple[float, ...] = ()

    def load(
        self, dataset: Any, window: Any = None, shape: tuple[int, int] | None = None
    ) -> tuple[Stored, Valid]:
        """Read the stored numbers, shape (bands, rows, columns), and whether each is valid.

        Args:
            shape: rows and columns to read a coarser version; it takes the nearest pixels.
        """
        where = {"window": window}
        if shape:
            where["out_shape"] = shape
        stored = dataset.read(list(self.bands.values()), **where)
        is_float = stored.dtype.kind == "f"
        valid = np.isfinite(stored) if is_float else np.ones(stored.shape, bool)
        for i, (number, nodata) in enumerate(zip(self.bands.values(), self.nodata, strict=True)):
            if number in self.masks:
                valid[i] &= dataset.read_masks(number, **where) > 0
            if nodata is not None and math.isfinite(nodata) and fits(nodata, stored.dtype.name):
                valid[i] &= stored[i] != np.array(nodata).astype(stored.dtype)
        if self.alpha is not None:
            valid &= dataset.read(self.alpha, **where) > 0
        return stored, valid

    def decode(self, stored: Stored, valid: Valid) -> Values:
        """Convert stored numbers to values, NaN where there is no data."""
        # float32 holds each number of two bytes; others need more on the way.
        number = np.float32 if stored.dtype.itemsize <= 2 else np.float64
        values = np.empty(stored.shape, np.float32)
        for fill in self.fills:
            valid = valid & ~holds(stored, fill)
        for i, (scale, offset) in enumerate(zip(self.scales, self.offsets, strict=True)):
            with np.errstate(invalid="ignore", over="ignore"):
                values[i] = stored[i] * number(scale) + number(offset)
        values[~valid] = np.nan
        if stored.dtype.kind == "f":
            values[~np.isfinite(values)] = np.nan
        return values

    def beside(self, other: Encoding) -> Encoding | None:
        """With the bands of another of the same file, too; None if "no data" differs."""
        mine, others = ((it.nodata[-1:], it.alpha, it.fills) for it in (self, other))
        if mine != others or self.bands.keys() & other.bands.keys():
            return None
        return replace(
            self,
            bands=self.bands | other.bands,
            scales=self.scales + other.scales,
            offsets=self.offsets + other.offsets,
            nodata=self.nodata + other.nodata,
            masks=self.masks | other.masks,
        )


def encoding_of(
    dataset: Any,
    bands: Bands | None = None,
    *,
    band_names: Sequence[str] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> Encoding:
    """The encoding of a file; arguments override what the file says.

    Raises:
        RasterError: a band is missing, or the file's encoding is impossible.
    """
    found = find_bands(dataset, bands, band_names)
    places = [number - 1 for number in found.values()]
    for place in places:
        if np.dtype(dataset.dtypes[place]).kind not in "iuf":
            kind = dataset.dtypes[place]
            raise RasterError(f"its data type is {kind}, and must be integer or float")
    scales = [dataset.scales[place] if scale is None else scale for place in places]
    offsets = [dataset.offsets[place] if offset is None else offset for place in places]
    for name, numbers in (("scale", scales), ("offset", offsets)):
        if not all(map(math.isfinite, numbers)) or (name == "scale" and 0 in numbers):
            said = ", ".join(f"{number:g}" for number in numbers)
            raise RasterError(f"its {name} is {said}. Set {name}: value = stored x scale + offset")
    tags = [dataset.nodatavals[place] if nodata is None else nodata for place in places]
    for place in places if nodata is not None else []:
        _check_fits(nodata, dataset.dtypes[place])
    return Encoding(
        found,
        tuple(scales),
        tuple(offsets),
        tuple(tags),
        _masks(dataset, found),
        _alpha(dataset, found),
    )


def joined(encodings: Sequence[Encoding]) -> Encoding:
    """One encoding of the bands of several files, which are numbered from 1."""
    names = [name for encoding in encodings for name in encoding.bands]
    return Encoding(
        {name: number for number, name in enumerate(names, start=1)},
        tuple(scale for encoding in encodings for scale in encoding.scales),
        tuple(offset for encoding in encodings for offset in encoding.offsets),
        tuple(nodata for encoding in encodings for nodata in encoding.nodata),
        frozenset(),
        None,
    )


def parted(whole: Encoding, encodings: Sequence[Encoding]) -> list[Encoding]:
    """The encodings again, with what was decided for all of them together."""
    parts: list[Encoding] = []
    first = 0
    for encoding in encodings:
        end = first + len(encoding.bands)
        scales, offsets = whole.scales[first:end], whole.offsets[first:end]
        parts.append(replace(encoding, scales=scales, offsets=offsets, fills=whole.fills))
        first = end
    return parts


def holds(stored: Stored, number: float) -> Valid:
    """Whether each pixel has this number in all bands, shape (rows, columns)."""
    if not fits(number, stored.dtype.name):
        return np.zeros(stored.shape[1:], bool)
    with np.errstate(over="ignore"):
        same = (stored == np.array(number).astype(stored.dtype)).all(axis=0)
    return np.asarray(same, bool)


def fits(number: float, dtype: str) -> bool:
    """Whether a data type can represent this number."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return True
    limits = np.iinfo(kind)
    return (
        math.isfinite(number) and float(number).is_integer() and limits.min <= number <= limits.max
    )


def _check_fits(nodata: float | None, dtype: str) -> None:
    if nodata is not None and not fits(float(nodata), dtype):
        raise RasterError(f"nodata is {nodata:g}, which does not fit its data type, {dtype}")


def _alpha(dataset: Any, bands: dict[str, int]) -> int | None:
    """The alpha band; not a selected band, even if the file marks its fourth as alpha."""
    found: dict[Any, int] = {kind: i for i, kind in enumerate(dataset.colorinterp, start=1)}
    number = found.get(ColorInterp.alpha)
    return None if number in bands.values() else number


def _masks(dataset: Any, bands: dict[str, int]) -> frozenset[int]:
    """The bands with a mask of their own, which doesn't follow from an alpha band or nodata."""
    counts = set()
    for number in bands.values():
        flags = set(dataset.mask_flag_enums[number - 1])
        if not flags & {MaskFlags.all_valid, MaskFlags.alpha, MaskFlags.nodata}:
            counts.add(number)
    return frozenset(counts)
