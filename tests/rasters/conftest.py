"""gaiaflow.rasters, in the environment of a generated project, where it is used.

tests/stack/test_generated.py runs these tests there; any other pytest without rasterio passes them
over.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("rasterio") is None:
    collect_ignore_glob = ["test_*.py"]

Make = Callable[..., Path]


@pytest.fixture
def scene() -> Any:
    """Reflectance of 4 bands, dark blue to bright near infrared, as Sentinel-2 sees fields."""
    import numpy as np

    random = np.random.default_rng(0)
    levels = np.array([0.04, 0.06, 0.05, 0.25])[:, None, None]
    return (levels * random.uniform(0.6, 1.6, (4, 40, 50))).astype("float32")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a GeoTIFF of 4 named bands in UTM; options change it."""
    import rasterio
    from rasterio.transform import from_origin

    def make(
        values: Any,
        name: str = "scene.tif",
        bands: tuple[str, ...] = ("B02", "B03", "B04", "B08"),
        describe: Callable[[Any], None] = lambda dataset: None,
        **options: Any,
    ) -> Path:
        count, height, width = values.shape
        profile = {"driver": "GTiff", "count": count, "height": height, "width": width}
        place = {"crs": "EPSG:32632", "transform": from_origin(5e5, 5.4e6, 10, 10)}
        path = tmp_path / name
        with rasterio.open(path, "w", dtype=values.dtype, **{**profile, **place, **options}) as new:
            new.write(values)
            new.descriptions = bands
            describe(new)
        return path

    return make
