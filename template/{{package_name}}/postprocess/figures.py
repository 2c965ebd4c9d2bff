"""Pictures. They use matplotlib's Figure directly: no pyplot, no global state, no display."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from gaiaflow.rasters import Raster

from ..model.classes import CLASSES, NODATA, Classes

INK = "#2b2b2b"
KILOMETRE = 1000  # metres
NO_SOIL = "; bare soil has none of its own and mostly turns up as Urban."  # of the sample's


def true_colour(scene: Raster) -> npt.NDArray[np.float32]:
    """The scene as RGB, shape (rows, columns, 3), 0..1; white where there is no data.

    One stretch for all three bands keeps the hues; gamma lifts the dark forest.
    """
    rgb = scene.values[[scene.bands.index(name) for name in ("B04", "B03", "B02")]]
    known = rgb[np.isfinite(rgb)]
    bright = max(float(np.percentile(known, 99.5)), 1e-6) if known.size else 1.0
    shown = np.clip(rgb / bright, 0, 1) ** (1 / 1.5)
    return np.moveaxis(np.nan_to_num(shown, nan=1.0), 0, -1)


def map_figure(
    scene: Raster, codes: Raster, classes: Classes, shares: Mapping[str, float], model: str
) -> Figure:
    """The scene and its land-cover map side by side, with the share of each class.

    Args:
        codes: one band of class codes on the same grid.
        classes: the code and colour of each class.
        shares: share (0..1) of each class.
        model: the model that made the map, for the caption.
    """
    width, height = scene.grid.pixel_metres or (1, 1)
    aspect = height / width  # pixels in degrees are not square
    figure = Figure(figsize=(12, 7.2), dpi=110, facecolor="white")
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.03, right=0.97, top=0.935, bottom=0.165, wspace=0.04)

    left.imshow(true_colour(scene), interpolation="nearest")
    left.set_title("Scene, true colour", loc="left", color=INK, fontsize=13)
    _scale_bar(left, scene)

    colours = {name: "#{:02x}{:02x}{:02x}".format(*rgb) for name, (_, rgb) in classes.items()}
    right.imshow(coloured(codes, classes), interpolation="nearest")
    right.set_title("Land cover", loc="left", color=INK, fontsize=13)

    for axes in (left, right):
        axes.set_aspect(aspect)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#bbbbbb")
    handles = [
        Patch(color=colour, label=f"{name}  {shares[name]:.1%}") for name, colour in colours.items()
    ]
    figure.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(0.98, 0.09),
        ncols=min(len(handles), 6),
        frameon=False,
        fontsize=12,
        labelcolor=INK,
        handlelength=1.2,
    )
    figure.text(
        0.03,
        0.04,
        f"Every pixel gets the most similar of {len(classes)} classes"
        f"{NO_SOIL if set(classes) == set(CLASSES) else '.'}\n"
        f"Made by {model}.{_remarks(scene, codes)}",
        color="#666666",
        fontsize=9.5,
        linespacing=1.5,
    )
    return figure


def coloured(codes: Raster, classes: Classes) -> npt.NDArray[np.uint8]:
    """Class codes as RGB, shape (rows, columns, 3); white where there is no data."""
    palette = np.full((256, 3), 255, np.uint8)
    for code, colour in classes.values():
        palette[code] = colour
    numbers = np.nan_to_num(codes.values[0], nan=NODATA).astype(np.uint8)
    return np.asarray(palette[numbers])


def _remarks(scene: Raster, codes: Raster) -> str:
    """What a reader of the map would not expect, as sentences with a leading space."""
    found = []
    empty = float(np.isnan(codes.values).mean())
    if empty:
        found.append(f"White: no data ({empty:.1%} of the scene).")
    if scene.crs is None:
        found.append("The scene has no known location.")
    elif not scene.grid.is_north_up:
        found.append("North is not up.")
    return "".join(f" {sentence}" for sentence in found)


def _scale_bar(axes: Any, scene: Raster) -> None:
    """Draw a bar of a round length, about a fifth of the picture, if the pixel size is known.

    The length is in metres on the ground, whatever the unit of the grid.
    """
    size = scene.grid.pixel_metres
    if size is None:
        return
    pixel = size[0]
    width = scene.values.shape[2]
    target = width * pixel / 5
    step = 10 ** np.floor(np.log10(target))
    length = step * max(n for n in (1, 2, 5) if n * step <= target)
    label = f"{length:g} m" if length < KILOMETRE else f"{length / KILOMETRE:g} km"
    y = scene.values.shape[1] * 0.955
    x, height = width * 0.04, scene.values.shape[1] * 0.012
    axes.add_patch(Rectangle((x, y), length / pixel, height, color="white", ec=INK, lw=0.6))
    axes.text(x, y - height, label, color="white", fontsize=10.5, va="bottom", weight="bold")


def confusion_figure(matrix: npt.NDArray[np.integer[Any]], classes: list[str]) -> Figure:
    """A confusion matrix: rows are the truth, columns the prediction, cells are counts."""
    figure = Figure(figsize=(5, 4.4), dpi=110, facecolor="white", layout="constrained")
    axes = figure.subplots()
    axes.imshow(matrix, cmap="Blues", vmin=0)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="Predicted", ylabel="True", title="Held-out samples")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for (row, column), count in np.ndenumerate(matrix):
        dark = count > matrix.max() / 2
        axes.text(column, row, count, ha="center", va="center", color="white" if dark else INK)
    return figure
