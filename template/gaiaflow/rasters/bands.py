"""Select bands of a file by name, whatever their order in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from rasterio.enums import ColorInterp

from gaiaflow.rasters.errors import RasterError

# Names of bands, or a mapping from names to alternative names for the same band.
Bands: TypeAlias = Sequence[str] | Mapping[str, Sequence[str]]


def find_bands(
    dataset: Any, wanted: Bands | None, band_names: Sequence[str] | None
) -> dict[str, int]:
    """Find bands by name; return each name with the band's number in the file.

    A band's name is its description up to the first comma. Case and leading zeros don't matter:
    "b2" and "B02, central wavelength 490 nm" are both B02.

    Args:
        wanted: None for all bands; those without a description are then called "1", "2", ...
        band_names: the names of all bands in the file's order, if the file lacks them.

    Raises:
        RasterError: a band is missing, or several match.
    """
    names = _names(dataset, band_names)
    if wanted is None:
        chosen = {
            name or str(number): number
            for number, name in enumerate(names, start=1)
            if dataset.colorinterp[number - 1] != ColorInterp.alpha or name
        }
        return chosen
    if not any(names):
        raise RasterError(
            f"none of its {dataset.count} bands has a name. Set band_names to the names of all "
            f"bands, in the file's order; the wanted bands are {', '.join(wanted)}"
        )
    aliases = wanted if isinstance(wanted, Mapping) else dict.fromkeys(wanted, ())
    found = {name: _find(names, name, others) for name, others in aliases.items()}
    missing = [name for name, number in found.items() if number is None]
    if missing:
        there = ", ".join(name or "(no name)" for name in names)
        raise RasterError(
            f"it has no band {', '.join(missing)}, only {there}. If its bands have other names, "
            "set band_names to the names of all bands, in the file's order"
        )
    return {name: number for name, number in found.items() if number is not None}


def _names(dataset: Any, band_names: Sequence[str] | None) -> list[str]:
    if band_names is None:
        return [(text or "").partition(",")[0].strip() for text in dataset.descriptions]
    if len(band_names) != dataset.count:
        raise RasterError(f"band_names has {len(band_names)} names for {dataset.count} bands")
    return list(band_names)


def _find(names: Sequence[str], name: str, others: Sequence[str]) -> int | None:
    """The number of the band with this name or, if there is none, with an alternative name."""
    for candidates in ({normal(name)}, set(map(normal, others))):
        numbers = [i for i, text in enumerate(names, start=1) if normal(text) in candidates]
        if len(numbers) > 1:
            raise RasterError(
                f"bands {' and '.join(map(str, numbers))} are both {name}. "
                "Set band_names to the names of all bands, in the file's order"
            )
        if numbers:
            return numbers[0]
    return None


def normal(name: str) -> str:
    """A name of a band without what makes no difference: case and leading zeros."""
    return re.sub(r"^b0+(?=\d)", "b", name.strip().lower())
