"""Batch inference: classify every pixel of a scene, whatever its size."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow

from gaiaflow.rasters import (
    Applied,
    Description,
    LazyRaster,
    PixelSample,
    Raster,
    apply,
    function_of,
)

from ..model.classes import NODATA, Classes, classes_in


def classify(
    model: str,
    scene: Raster | LazyRaster,
    destination: str | Path,
    pixels: PixelSample | None = None,
) -> tuple[Applied, Classes]:
    """Write the class codes of a scene as a Cloud-Optimized GeoTIFF; NODATA where it has none.

    Args:
        model: URI of the model, such as "models:/landcover/1".
        destination: a path, or "s3://bucket/key".
        pixels: takes some of the scene's pixels, for the monitor.

    Returns:
        What was written, with the number of pixels of each code, and the model's classes.
    """
    loaded = mlflow.pyfunc.load_model(model, suppress_warnings=True)
    return classify_with(loaded, scene, destination, model, pixels)


def classify_with(
    model: Any,
    scene: Raster | LazyRaster,
    destination: str | Path,
    name: str,
    pixels: PixelSample | None = None,
) -> tuple[Applied, Classes]:
    """The same with a loaded model; the file says that the one of this name made it."""
    classes = classes_in(model)
    codes = {title: code for title, (code, _) in classes.items()}
    function = function_of(model, scene.bands, codes, NODATA)
    if pixels is not None:
        function = pixels.of(function)
    return apply(function, scene, destination, description(classes, name)), classes


def description(classes: Classes, model: str) -> Description:
    """What a class raster says about itself: colours, and each code's meaning (tag, JSON)."""
    return Description(
        nodata=NODATA,
        names=("land cover",),
        colours=dict(classes.values()),
        tags={
            "classes": json.dumps({code: name for name, (code, _) in classes.items()}),
            "model": model,
        },
        overviews="mode",
    )


def class_shares(counts: Mapping[int, int], classes: Classes) -> dict[str, float]:
    """The share (0..1) of each class in the pixels that have data."""
    total = max(sum(counts.values()), 1)
    return {name: counts.get(code, 0) / total for name, (code, _) in classes.items()}
