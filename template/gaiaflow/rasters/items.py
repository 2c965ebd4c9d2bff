"""Open the scene that a STAC item describes: its bands, wherever they are, on one grid.

Catalogs differ in where they describe bands (STAC 1.1: `bands`; before: `eo:bands` and
`raster:bands`), and not all of it is true: Earth Search gives an offset for Sentinel-2 scenes from
which it was taken off already (Element84/earth-search issues 9, 66, 71). So the pixels decide.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from rasterio.enums import Resampling

from gaiaflow.rasters.bands import Bands, normal
from gaiaflow.rasters.encoding import encoding_of
from gaiaflow.rasters.errors import RasterError
from gaiaflow.rasters.grid import Grid, grid_of
from gaiaflow.rasters.lazy import Layer, LazyRaster, named, opened
from gaiaflow.rasters.masks import QUALITY_LAYERS
from gaiaflow.rasters.reading import block_of, say
from gaiaflow.rasters.reflectance import check_possible, decided

Item = Mapping[str, Any]

# What an asset may say for all of its bands.
_OF_ALL_BANDS = {"gsd", "nodata", "raster:offset", "raster:scale"}

# Assets for the eye, not for measuring.
_PICTURES = {"overview", "thumbnail", "visual"}


@dataclass(frozen=True)
class _Band:
    """One band of an asset.

    Attributes:
        number: in the file, from 1.
        names: all names that it has.
        rank: the lower, the likelier it is what is meant of those with the same name.
        scale, offset, nodata: what the item says; None if it doesn't.
    """

    asset: str
    href: str
    number: int
    names: frozenset[str]
    rank: tuple[float, ...]
    scale: float | None
    offset: float | None
    nodata: float | None


def open_item(
    item: Item,
    bands: Bands,
    *,
    grid: Grid | None = None,
    resampling: Resampling | Mapping[str, Resampling] = Resampling.bilinear,
    clouds: bool = False,
    offset: float | None = None,
) -> LazyRaster:
    """Open the reflectance of a scene from its STAC item.

    Args:
        item: the item as JSON. Relative addresses need its `self` link.
        bands: the names of the bands, optionally with alternative names. Names of assets count,
            band names, and common names such as "red".
        grid: the grid to read them on; default: the finest of the bands'.
        resampling: for all bands, or by band; for those that are on another grid.
        clouds: keep clouds, shadows and defects. Without, these pixels have no data if the item has
            Sentinel-2's scene classification or Landsat's pixel quality.
        offset: reflectance = stored x scale + offset, instead of the item's own.

    Raises:
        RasterError: a band is missing, a file can't be read, or its values can't be reflectance.
    """
    name = str(item.get("id", "the item"))
    with named(name):
        chosen = _chosen(item, bands)
        layers, types, notes = [], [], []
        for band_name, band in chosen.items():
            method = resampling if isinstance(resampling, Resampling) else resampling[band_name]
            layer, data_type, said = _layer(band_name, band, method, offset)
            layers.append(layer)
            types.append(data_type)
            notes += [note for note in said if note not in notes]
        common = grid or min((layer.grid for layer in layers), key=_pixel_area)
        layers = decided(layers, common, _baseline(item), notes, offset=offset, doubted=True)
        layers = _together(layers, types)
        mask, is_clear = (None, None) if clouds else _quality(item)
        say(name, notes)
    return LazyRaster(layers, common, mask=mask, is_clear=is_clear, check=check_possible)


def _chosen(item: Item, bands: Bands) -> dict[str, _Band]:
    """The band of an asset for each wanted name."""
    known = list(_bands_of(item))
    aliases = bands if isinstance(bands, Mapping) else dict.fromkeys(bands, ())
    found = {name: _best(known, (name, *others)) for name, others in aliases.items()}
    missing = [name for name, band in found.items() if band is None]
    if missing:
        there = sorted({band.asset for band in known})
        raise RasterError(
            f"it has no band {', '.join(missing)}; its assets are {', '.join(there) or 'none'}"
        )
    return {name: band for name, band in found.items() if band is not None}


def _best(known: Sequence[_Band], names: Sequence[str]) -> _Band | None:
    for name in map(normal, names):  # the first counts most: nir before nir08, which also is B8A
        if fitting := [band for band in known if name in band.names]:
            return min(fitting, key=lambda band: band.rank)
    return None


def _bands_of(item: Item) -> Iterator[_Band]:
    for key, asset in item.get("assets", {}).items():
        if _PICTURES & {*asset.get("roles", ()), key}:
            continue
        eo, raster = asset.get("eo:bands", []), asset.get("raster:bands", [])
        described = asset.get("bands", [])
        count = max(len(eo), len(raster), len(described), 1)
        for number in range(1, count + 1):
            facts = {key: asset[key] for key in _OF_ALL_BANDS & asset.keys()}
            for source in (raster, eo, described):
                facts |= source[number - 1] if len(source) >= number else {}
            names = {facts.get("name"), facts.get("common_name"), facts.get("eo:common_name")}
            if count == 1:
                names.add(key)
            yield _Band(
                asset=key,
                href=_address(item, asset["href"]),
                number=number,
                names=frozenset(normal(name) for name in names if name),
                # A file of one band before a picture of three, 10 m before 20 m, and a COG before a
                # JPEG 2000.
                rank=(
                    count > 1,
                    float(facts.get("gsd", math.inf)),
                    "cloud-optimized" not in asset.get("type", ""),
                ),
                scale=facts.get("raster:scale", facts.get("scale")),
                offset=facts.get("raster:offset", facts.get("offset")),
                nodata=_number(facts.get("nodata")),
            )


def _number(text: Any) -> float | None:
    """A number in JSON, where STAC writes "nan"; it needs no nodata."""
    return None if text in (None, "nan", "inf", "-inf") else float(text)


def _layer(
    name: str, band: _Band, resampling: Resampling, offset: float | None
) -> tuple[Layer, str, list[str]]:
    """A layer with one band, its data type, and what is to be said of it."""
    with opened(band.href) as dataset:
        names = [str(number) for number in range(1, dataset.count + 1)]
        if band.number > dataset.count:
            raise RasterError(f"it has {dataset.count} bands, and the item says {band.number}")
        names[band.number - 1] = name
        encoding = encoding_of(
            dataset,
            [name],
            band_names=names,
            scale=band.scale,
            offset=band.offset if offset is None else offset,
            nodata=band.nodata,
        )
        grid, notes = grid_of(dataset)
        layer = Layer(band.href, encoding, grid, block_of(dataset), resampling)
        return layer, str(dataset.dtypes[band.number - 1]), notes


def _together(layers: Sequence[Layer], types: Sequence[str]) -> list[Layer]:
    """Join bands of one file that follow each other: GDAL decodes all bands of a block at once."""
    found: list[tuple[Layer, str]] = []
    for layer, data_type in zip(layers, types, strict=True):
        if found and found[-1][1] == data_type:
            before = found[-1][0]
            both = before.encoding.beside(layer.encoding)
            if both and replace(layer, encoding=before.encoding) == before:
                found[-1] = replace(before, encoding=both), data_type
                continue
        found.append((layer, data_type))
    return [layer for layer, _ in found]


def _quality(item: Item) -> tuple[Layer | None, Any]:
    """The layer that tells clear pixels, and how."""
    for name, is_clear in QUALITY_LAYERS.items():
        band = _best(list(_bands_of(item)), (name, f"{name}_20m", f"{name}_60m"))
        if band:
            with opened(band.href) as dataset:
                encoding = encoding_of(dataset)
                grid, _ = grid_of(dataset)
                return Layer(band.href, encoding, grid, block_of(dataset)), is_clear
    return None, None


def _baseline(item: Item) -> int | None:
    """Sentinel-2's processing baseline, 400 for 04.00; None if its offset was taken off."""
    properties = item.get("properties", {})
    if properties.get("earthsearch:boa_offset_applied"):
        return None
    text = properties.get("s2:processing_baseline", properties.get("processing:version", ""))
    found = re.fullmatch(r"(\d\d)\.(\d\d)", str(text))
    return int(found[1] + found[2]) if found else None


def _address(item: Item, href: str) -> str:
    """Where an asset is; relative to the item's own address."""
    if urlsplit(href).scheme or Path(href).is_absolute():
        return href
    links = {link.get("rel"): link.get("href") for link in item.get("links", [])}
    if not links.get("self"):
        raise RasterError(f"its asset {href} is relative, and it has no link to itself")
    base = str(links["self"])
    scheme, _, rest = base.partition("://")
    if not rest:
        return str(Path(base).parent / href)
    # Of other schemes, such as s3, urljoin doesn't know that they have folders.
    return scheme + urljoin(f"http://{rest}", href).removeprefix("http")


def _pixel_area(grid: Grid) -> float:
    width, height = grid.pixel_metres or (abs(grid.transform.a), abs(grid.transform.e))
    return width * height


def read_item(path: str | Path) -> dict[str, Any]:
    """Read an item from a file, with the address that its assets are relative to."""
    item: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    links = [link for link in item.get("links", []) if link.get("rel") != "self"]
    item["links"] = [*links, {"rel": "self", "href": str(Path(path).resolve())}]
    return item
