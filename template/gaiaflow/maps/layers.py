"""The layers of a STAC item: its classes, and its scene in true and false color."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gaiaflow.maps.errors import MapError

# The asset that is a raster of classes; all others with bands are the scene.
CLASSES = "map"
VALUES = "values"
_COLORS = {
    "true-color": ("True color", ("red", "green", "blue")),
    "false-color": ("False color (near infrared)", ("nir", "red", "green")),
}
# What integers without a scale usually mean.
_SCALES = {"uint8": 1 / 255, "uint16": 1e-4, "int16": 1e-4}
# For classes without colors: those of Okabe and Ito, which color-blind people can tell apart.
PALETTE = ("0072B2", "E69F00", "009E73", "F0E442", "56B4E9", "D55E00", "CC79A7", "999999")

# From an asset's address in an item to its name for people, and to the address for GDAL.
Resolve = Callable[[str], tuple[str, str]]


@dataclass(frozen=True)
class Band:
    """One band of a file, and what its numbers mean: number * scale + offset."""

    name: str
    title: str
    file: str
    address: str
    number: int
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None


@dataclass(frozen=True)
class Class:
    """A value of a raster of classes. `share` is its percentage of the valid pixels."""

    value: int
    title: str
    color: str
    share: float | None


@dataclass(frozen=True)
class Layer:
    """Bands that are shown together, or VALUES: all bands of a scene, only for their numbers.

    A layer with a problem has no bands.
    """

    id: str
    title: str
    bands: tuple[Band, ...]
    classes: tuple[Class, ...] = ()
    plain: bool = False
    problem: str = ""

    @property
    def files(self) -> list[tuple[str, tuple[int, ...]]]:
        """The files with the numbers of their bands, which together are the layer's bands."""
        if len({band.address for band in self.bands}) == 1:
            return [(self.bands[0].address, tuple(band.number for band in self.bands))]
        return [(band.address, (band.number,)) for band in self.bands]


def layers_of(item: Mapping[str, Any], resolve: Resolve) -> Iterator[Layer]:
    """The layers of an item. What is wrong with one asset is no matter for the others."""
    plain = item.get("geometry") is None
    scene: dict[str, Band] = {}
    problems: list[str] = []
    for name, asset in item.get("assets", {}).items():
        try:
            if name == CLASSES:
                yield _class_layer(asset, resolve, plain)
            else:
                for key, band in _scene_bands(name, asset, resolve):
                    scene.setdefault(key, band)
        except MapError as error:
            problem = str(error)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            problem = f"The asset {name} is not described as STAC says: {error!r}."
        else:
            continue
        if name == CLASSES:
            yield Layer(CLASSES, "Classes", (), problem=problem)
        else:
            problems.append(problem)
    for id_, (title, wanted) in _COLORS.items():
        if scene.keys() >= set(wanted):
            yield Layer(id_, title, tuple(scene[color] for color in wanted), plain=plain)
        elif problems:
            yield Layer(id_, title, (), problem=" ".join(problems))
    if scene:
        yield Layer(VALUES, "Reflectance", tuple(scene.values()), plain=plain)


def _class_layer(asset: Mapping[str, Any], resolve: Resolve, plain: bool) -> Layer:
    about: Mapping[str, Any] = next(_described(asset), {})
    file, address = resolve(asset["href"])
    band = Band(CLASSES, "Class", file, address, 1, nodata=_nodata(about))
    title = str(asset.get("title") or "Classes")
    return Layer(CLASSES, title, (band,), tuple(_classes(about)), plain)


def _scene_bands(
    name: str, asset: Mapping[str, Any], resolve: Resolve
) -> Iterator[tuple[str, Band]]:
    """The bands of an asset, by their colors or names."""
    described = list(_described(asset))
    if any(described):
        file, address = resolve(asset["href"])
        for number, about in enumerate(described, 1):
            if not about:
                continue  # a band of the file that the scene does not use
            found = _band(about, name, number, file, address)
            yield str(about.get("eo:common_name") or found.name), found


def find(layers: Iterable[Layer], id_: str) -> Layer | None:
    """The layer with this id."""
    return next((layer for layer in layers if layer.id == id_), None)


def _described(asset: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What an asset says of each of its bands. A field of the asset holds for all of them."""
    shared = {key: value for key, value in asset.items() if key in _FIELDS}
    implied: list[dict[str, Any]] = (
        [{}] if "classification:classes" in asset or "eo:common_name" in asset else []
    )
    for band in asset.get("bands") or implied:
        yield {**shared, **band}


_FIELDS = {
    "classification:classes",
    "data_type",
    "eo:common_name",
    "nodata",
    "raster:offset",
    "raster:scale",
}


def _band(about: Mapping[str, Any], asset: str, number: int, file: str, address: str) -> Band:
    color = str(about.get("eo:common_name") or "")
    name = str(about.get("name") or color or f"{asset} {number}")
    kind = str(about.get("data_type") or "")
    scale = float(about.get("raster:scale", _SCALES.get(kind, 1.0)))
    if scale == 0:
        raise MapError(f"The band {name} of {file} has the scale 0.")
    return Band(
        name,
        f"{color} ({name})" if color and color != name else name,
        file,
        address,
        number,
        scale,
        float(about.get("raster:offset", 0.0)),
        _nodata(about),
    )


def _nodata(about: Mapping[str, Any]) -> float | None:
    value = about.get("nodata")
    return None if value is None else math.nan if value == "nan" else float(value)


def _classes(about: Mapping[str, Any]) -> Iterator[Class]:
    for number, found in enumerate(about.get("classification:classes", [])):
        value = int(found["value"])
        share = found.get("percentage")
        color = str(found.get("color_hint") or PALETTE[number % len(PALETTE)]).lstrip("#")[:6]
        if len(bytes.fromhex(color)) != 3:
            raise ValueError(f"{color} is no color")
        yield Class(
            value,
            str(found.get("title") or found.get("name") or found.get("description") or value),
            color,
            None if share is None else float(share),
        )
