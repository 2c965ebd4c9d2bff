"""What benchmarks/tile.py measures, each way in a process of its own, in a project's environment.

    python -m benchmarks.tile_work make SIZE TILE
    python -m benchmarks.tile_work archive TILE COUNT FOLDER
    python -m benchmarks.tile_work train PACKAGE FOLDER
    python -m benchmarks.tile_work WAY TILE MAP [MODEL]

A way prints JSON: its seconds, without those of imports and of loading the model, its processor
time, and the peak of the process's memory in bytes.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import shutil
from rasterio.transform import from_origin
from rasterio.windows import Window

BANDS = ("B02", "B03", "B04", "B08")
CLASSES = {"Urban": 1, "Vegetation": 2, "Water": 3}
SCALE = np.float32(1e-4)
SIDE = 1024  # of the windows of those who have to choose one
TILED = {"tiled": True, "blockxsize": 512, "blockysize": 512}


def make(size: int, tile: Path) -> None:
    """Write a Sentinel-2 tile: the sample scene, mirrored to all sides, with noise."""
    import spyndex

    scene = spyndex.datasets.open("sentinel").values.astype("uint16")
    wide = np.concatenate([scene, scene[:, :, ::-1]], axis=2)
    high = np.concatenate([wide, wide[:, ::-1]], axis=1)
    step = high.shape[1]
    place = {"crs": "EPSG:32632", "transform": from_origin(5e5, 5.4e6, 10, 10)}
    shape = {"dtype": "uint16", "count": 4, "height": size, "width": size}
    random = np.random.default_rng(0)
    with rasterio.open(
        tile, "w", driver="GTiff", **shape, **place, **TILED, compress="deflate", predictor=2
    ) as dataset:
        dataset.descriptions = BANDS
        for row in range(0, size, step):
            rows = min(step, size - row)
            strip = np.tile(high, (1, 1, size // step + 1))[:, :rows, :size]
            noisy = strip + random.integers(-8, 9, strip.shape)
            dataset.write(noisy.clip(1).astype("uint16"), window=Window(0, row, size, rows))


def archive(tile: Path, count: int, folder: Path) -> None:
    """Write a static catalog of many scenes, which all are the same tile."""
    from gaiaflow.rasters import open_reflectance
    from gaiaflow.stac import product_item, raster_assets, write_collection, write_item

    with open_reflectance(tile, BANDS) as raster:
        assets, grid = raster_assets(raster), raster.grid
    for number in range(1, count + 1):
        moment = f"2026-06-{number:02}T10:30:00Z"
        name = f"{folder.name}-{number}"
        write_item(folder, product_item(name, grid, datetime=moment, assets=assets))
    write_collection(folder, "The same tile on many days")


# --- models ------------------------------------------------------------------------------------


def train(package: str, folder: Path) -> None:
    """Train and log a model as the example does; and one as that of 0.5."""
    import mlflow

    def part(name: str) -> Any:
        return importlib.import_module(f"{package}.{name}")

    spectra = part("dataloader.ingest").sample_spectra()
    table = part("preprocess.features").make_features(spectra)
    columns = table.columns.drop(["class", "split"])
    search = part("train.train").search_classifier(table[columns], table["class"], 5)
    landcover = part("model_pipeline.landcover")
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment(
        experiment_id=mlflow.create_experiment("tile", (folder / "runs").as_uri())
    )
    with mlflow.start_run():
        uri = landcover.log_pipeline(
            landcover.build_pipeline(search.best_estimator_), spectra[list(BANDS)].head(3)
        )
    mlflow.artifacts.download_artifacts(uri, dst_path=str(folder / "model"))
    _train_as_0_5(search.best_estimator_, spectra, folder / "old-model")


def _train_as_0_5(classifier: Any, spectra: Any, folder: Path) -> None:
    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.base import clone
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer

    steps = [("indices", FunctionTransformer(_indices_of_0_5)), ("classify", clone(classifier))]
    bands = spectra[list(BANDS)]
    pipeline = Pipeline(steps).fit(bands, spectra["class"])
    signature = infer_signature(bands, pd.Series(pipeline.predict(bands), dtype=str))
    mlflow.sklearn.save_model(
        pipeline,
        str(folder),
        serialization_format="cloudpickle",
        pip_requirements=[],
        signature=signature,
    )


def _indices_of_0_5(spectra: Any) -> Any:
    import pandas as pd
    import spyndex

    bands = {letter: spectra[band] for letter, band in zip("BGRN", BANDS, strict=True)}
    computed = pd.DataFrame(
        {name: spyndex.computeIndex(name, params=bands) for name in ("NDVI", "NDWI", "BNDVI")},
        index=spectra.index,
    )
    return spectra[list(BANDS)].join(computed.mask(~computed.abs().lt(float("inf")), 0.0))


def _codes(predicted: Any) -> npt.NDArray[np.uint8]:
    """Classes as numbers, whichever way a model names them."""
    import pandas as pd

    found = pd.Series(np.asarray(predicted).ravel())
    numbers = found if found.dtype.kind in "iu" else found.map(CLASSES)
    return np.asarray(numbers, np.uint8)


# --- ways --------------------------------------------------------------------------------------


def floor(tile: Path, out: Path, _: Any) -> None:
    """Rasterio reads windows and writes them, and GDAL makes a COG of that."""
    plain = out.with_suffix(".plain.tif")
    with rasterio.open(tile, num_threads="all_cpus") as source:
        profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": 0, **TILED}
        profile |= {"height": source.height, "width": source.width, "compress": "lzw"}
        profile |= {"crs": source.crs, "transform": source.transform}
        with rasterio.open(plain, "w", **profile) as target:
            for row in range(0, source.height, SIDE):
                for column in range(0, source.width, SIDE):
                    rows, columns = source.height - row, source.width - column
                    window = Window(column, row, min(SIDE, columns), min(SIDE, rows))
                    values = source.read(window=window)
                    target.write(_some_classes(values), 1, window=window)
    _finish(plain, out)


def nothing(tile: Path, out: Path, _: Any) -> None:
    """Ours, with a function that costs nothing."""
    _apply(_some_classes, tile, out)


def ours(tile: Path, out: Path, model: Any) -> None:
    from gaiaflow.rasters import function_of

    _apply(function_of(model, BANDS, CLASSES), tile, out)


def old(tile: Path, out: Path, model: Any) -> None:
    """As 0.5: the whole scene as a table, its classes as text."""
    import pandas as pd

    from gaiaflow.rasters import read_reflectance, write_cog

    scene = read_reflectance(tile, BANDS)
    valid = np.isfinite(scene.values).all(axis=0)
    codes = np.zeros(valid.shape, np.uint8)
    pixels = pd.DataFrame(scene.values[:, valid].T.astype(float), columns=scene.bands)
    codes[valid] = pd.Series(np.asarray(model.predict(pixels))).map(CLASSES)
    out.write_bytes(write_cog(codes[None], scene.crs, scene.transform, 0, overviews="mode"))


def dask(tile: Path, out: Path, model: Any) -> None:
    """Xarray and dask, chunk by chunk, in threads."""
    import pandas as pd
    import rioxarray
    import xarray as xr

    def predict(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        pixels = values.reshape(-1, len(BANDS)) * SCALE
        valid = (values != 0).any(axis=-1)
        found = _codes(model.predict(pd.DataFrame(pixels.astype(float), columns=BANDS)))
        return np.where(valid, found.reshape(valid.shape), 0).astype(np.uint8)

    scene = rioxarray.open_rasterio(tile, chunks={"band": -1, "y": SIDE, "x": SIDE}, lock=False)
    codes = xr.apply_ufunc(
        predict,
        scene,
        input_core_dims=[["band"]],
        dask="parallelized",
        output_dtypes=[np.uint8],
    )
    plain = out.with_suffix(".plain.tif")
    codes = codes.drop_attrs().rio.write_crs(scene.rio.crs).rio.write_nodata(0)
    codes.rio.to_raster(plain, **TILED, compress="lzw", lock=threading.Lock())
    _finish(plain, out)


def pyspatialml(tile: Path, out: Path, model: Any) -> None:
    """Pyspatialml, with an estimator that takes its arrays of stored numbers."""
    import pandas as pd

    # Its release 0.22 wants a function that NumPy 2 no longer has.
    np.find_common_type = lambda types, _: np.result_type(*types)  # type: ignore[attr-defined]
    from pyspatialml import Raster

    class Estimator:
        def predict(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
            table = pd.DataFrame(pixels.astype(float) * SCALE, columns=BANDS)
            return _codes(model.predict(table))

    plain = out.with_suffix(".plain.tif")
    Raster(str(tile)).predict(Estimator(), str(plain), dtype="uint8", nodata=0, compress="lzw")
    _finish(plain, out)


def _apply(function: Callable[..., Any], tile: Path, out: Path) -> None:
    from gaiaflow.rasters import Description, apply, open_reflectance

    with open_reflectance(tile, BANDS) as raster:
        apply(function, raster, out, Description(nodata=0, overviews="mode"))


def _some_classes(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A map that looks like one, from a comparison: brightness in the near infrared."""
    return (values[3] > values[0] * 2).astype(np.uint8) + np.uint8(1)


def _finish(plain: Path, out: Path) -> None:
    """What all have to do at the end, as gaiaflow.rasters does it."""
    options = {"compress": "deflate", "blocksize": 512, "num_threads": "all_cpus"}
    shutil.copy(plain, out, driver="COG", overview_resampling="mode", predictor="no", **options)


WAYS = {way.__name__: way for way in (floor, nothing, ours, old, dask, pyspatialml)}


def measure(way: str, tile: Path, out: Path, model: Path | None) -> dict[str, float]:
    loaded = None
    if model:
        import mlflow

        loaded = mlflow.pyfunc.load_model(str(model), suppress_warnings=True)
    begun, used = time.monotonic(), time.process_time()
    WAYS[way](tile, out, loaded)
    seconds, cpu = time.monotonic() - begun, time.process_time() - used
    # Not getrusage: what it tells, a process inherits from the one that has started it.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return {"seconds": seconds, "cpu": cpu, "peak": int(peak[1]) * 1024 if peak else 0}


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "make":
        make(int(rest[0]), Path(rest[1]))
    elif what == "archive":
        archive(Path(rest[0]), int(rest[1]), Path(rest[2]))
    elif what == "train":
        train(rest[0], Path(rest[1]))
    else:
        places = [Path(name) for name in rest]
        sys.stdout.write(json.dumps(measure(what, *places[:2], places[2] if places[2:] else None)))
