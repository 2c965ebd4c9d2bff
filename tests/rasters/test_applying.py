"""Functions and models see large rasters window by window, and that changes nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaiaflow.rasters import Description, RasterError, apply, open_raster, read

from .conftest import Make

CLASSES = Description(nodata=0, overviews="mode")
VALUES = Description(nodata=float("nan"))


def big(rows: int = 700, columns: int = 900) -> Any:
    random = np.random.default_rng(1)
    return random.uniform(0.01, 0.5, (4, rows, columns)).astype("float32")


def brightest(values: Any) -> Any:
    return (np.nan_to_num(values).argmax(axis=0) + 1).astype("uint8")


def mean_of_9(values: Any) -> Any:
    padded = np.pad(values[0], 1, mode="edge")
    rows, columns = values[0].shape
    parts = [padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return np.mean(parts, axis=0, dtype="float32")


BLOCKS = {
    "tiles": {"tiled": True, "blockxsize": 256, "blockysize": 128},
    "strips": {"blockysize": 7},
    "one strip": {"blockysize": 700},
}


@pytest.mark.parametrize("options", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("pixels", [1, 30_000, 10_000_000])
def test_windows_make_no_difference(
    make: Make, tmp_path: Path, options: dict[str, Any], pixels: int
) -> None:
    values = big()
    values[:, :50, :80] = np.nan
    with open_raster(make(values, **options)) as raster:
        done = apply(brightest, raster, tmp_path / "out" / "c.tif", CLASSES, pixels=pixels)
    found = read(tmp_path / "out" / "c.tif")
    expected = np.where(np.isnan(values).any(axis=0), 0, brightest(values))
    np.testing.assert_array_equal(np.nan_to_num(found.values[0]), expected)
    assert found.grid == raster.grid
    assert done.counts == {code: int((expected == code).sum()) for code in (1, 2, 3, 4)}


def test_an_overlap_shows_the_neighbours(make: Make, tmp_path: Path) -> None:
    values = big()
    with open_raster(make(values, tiled=True, blockxsize=128, blockysize=128)) as raster:
        apply(mean_of_9, raster, tmp_path / "m.tif", VALUES, overlap=1, pixels=20_000)
    np.testing.assert_allclose(read(tmp_path / "m.tif").values[0], mean_of_9(values), rtol=1e-6)


def test_several_bands(make: Make, tmp_path: Path) -> None:
    values = big(60, 70)
    names = Description(nodata=float("nan"), names=("a", "b"), tags={"made": "here"})
    with open_raster(make(values)) as raster:
        done = apply(lambda seen: seen[:2] * 2, raster, tmp_path / "two.tif", names)
    found = read(tmp_path / "two.tif")
    assert found.bands == ("a", "b")
    np.testing.assert_array_equal(found.values, values[:2] * 2)
    assert done.counts == {}


def test_values_are_stored_as_told(make: Make, tmp_path: Path) -> None:
    values = big(60, 70)
    values[1, 3, 4] = np.nan
    values[2, 0, 0], values[3, 0, 1] = 9.0, -9.0
    output = Description(
        nodata=-32768, dtype="int16", scale=1e-4, names=("B02", "B03", "B04", "B08")
    )
    with open_raster(make(values)) as raster:
        apply(lambda seen: seen, raster, tmp_path / "stored.tif", output)
    found = read(tmp_path / "stored.tif").values
    expected = values.clip(-3.2768, 3.2767)
    expected[:, 3, 4] = np.nan
    expected[3, 0, 1] = np.nan  # the lowest number means "no data"
    np.testing.assert_allclose(found, expected, atol=5.1e-5)


def test_a_preview_is_small_and_lies_where_the_raster_does(make: Make) -> None:
    values = big(700, 900)
    with open_raster(make(values, tiled=True, blockxsize=128, blockysize=128)) as raster:
        small, whole = raster.preview(90), raster.preview()
    assert small.values.shape == (4, 70, 90)
    np.testing.assert_allclose(small.grid.bounds, raster.grid.bounds)
    np.testing.assert_array_equal(whole.values, values)


@pytest.mark.parametrize(
    "options",
    [
        {"tiled": True, "blockxsize": 512, "blockysize": 512},
        {"blockysize": 1},
        {"blockysize": 1600},
    ],
    ids=["tiles", "rows", "one strip"],
)
def test_a_sample_is_as_small_as_told_and_from_everywhere(
    make: Make, options: dict[str, Any]
) -> None:
    rows = columns = 1600
    values = np.broadcast_to(np.arange(rows, dtype="float32")[:, None], (4, rows, columns))
    with open_raster(make(values, **options)) as raster:
        stored, valid = raster.sample(10_000)
    assert stored.shape == valid.shape
    assert 2_000 < stored[0].size < 15_000
    assert stored.min() < rows * 0.1
    assert stored.max() > rows * 0.9


def fail(_: Any) -> Any:
    raise ValueError("not today")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (fail, "not today"),
        (lambda values: values[0, 1:], "the function got"),
        (lambda values: values[0].astype(str), "must return numbers"),
    ],
)
def test_a_failure_leaves_nothing(make: Make, tmp_path: Path, function: Any, says: str) -> None:
    with (
        open_raster(make(big())) as raster,
        pytest.raises(ValueError, match=says),
    ):
        apply(function, raster, tmp_path / "out" / "none.tif", CLASSES)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failure_keeps_what_was_there(make: Make, tmp_path: Path) -> None:
    (tmp_path / "map.tif").write_bytes(b"before")
    calls = iter(range(3))

    def later(values: Any) -> Any:
        return fail(values) if next(calls, 9) > 1 else brightest(values)

    with open_raster(make(big())) as raster, pytest.raises(ValueError, match="not today"):
        apply(later, raster, tmp_path / "map.tif", CLASSES, pixels=10_000)
    assert (tmp_path / "map.tif").read_bytes() == b"before"
    assert {path.name for path in tmp_path.iterdir()} == {"scene.tif", "map.tif"}


def test_a_file_that_ends_in_the_middle(make: Make, tmp_path: Path) -> None:
    path = make(big(), driver="COG", blocksize=128)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with (
        open_raster(path) as raster,
        pytest.raises(RasterError, match="GDAL can't read it"),
    ):
        apply(brightest, raster, tmp_path / "none.tif", CLASSES, pixels=20_000)
    assert not (tmp_path / "none.tif").exists()


def test_all_cores_work_and_wait_for_the_writer(make: Make, tmp_path: Path) -> None:
    most = running = 0
    lock, both = threading.Lock(), threading.Barrier(2)

    def watched(values: Any) -> Any:
        nonlocal most, running
        with lock:
            running += 1
            most = max(most, running)
        both.wait(30)
        with lock:
            running -= 1
        return brightest(values)

    path = make(big(512, 512), tiled=True, blockxsize=128, blockysize=128)
    with open_raster(path) as raster:
        apply(watched, raster, tmp_path / "c.tif", CLASSES, pixels=1, workers=2)
    assert most == 2


# Models


def test_libraries_start_no_threads_beside_ours(make: Make, tmp_path: Path) -> None:
    import sklearn.cluster  # noqa: F401  brings OpenMP, beside numpy's OpenBLAS
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads() -> set[int]:
        return {library["num_threads"] for library in threadpool_info()}

    seen: set[int] = set()

    def look(values: Any) -> Any:
        seen.update(threads())
        return brightest(values)

    with threadpool_limits(3):
        with open_raster(make(big(200, 100))) as raster:
            apply(look, raster, tmp_path / "c.tif", CLASSES, pixels=5000, workers=2)
        after = threads()
    assert (seen, after) == ({1}, {3})


@pytest.fixture(scope="module")
def pixels() -> Any:
    import pandas as pd

    random = np.random.default_rng(0)
    table = pd.DataFrame(random.uniform(0, 1, (200, 3)), columns=["B04", "B02", "B08"])
    return table, np.where(table["B08"] > table["B04"], "green", "brown")


def logged(model: Any, signature: Any, folder: Path) -> Any:
    import mlflow

    mlflow.sklearn.save_model(model, folder / "model", signature=signature, pip_requirements=[])
    return mlflow.pyfunc.load_model(str(folder / "model"))


@pytest.mark.parametrize("kind", ["names", "codes"])
def test_a_model_gets_the_columns_of_its_signature(
    make: Make, tmp_path: Path, pixels: Any, kind: str
) -> None:
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    from gaiaflow.rasters import function_of

    table, names = pixels
    codes = {"green": 2, "brown": 7}
    answers = names if kind == "names" else np.array([codes[name] for name in names], "uint8")
    fitted = LogisticRegression().fit(table, answers)
    model = logged(fitted, infer_signature(table, fitted.predict(table)), tmp_path)
    values = big(80, 90)
    values[2, 5, 6] = np.nan
    with open_raster(make(values)) as raster:
        function = function_of(model, raster.bands, codes if kind == "names" else None)
        done = apply(function, raster, tmp_path / "c.tif", CLASSES)
    bands = dict(zip(raster.bands, values, strict=True))
    rows = np.stack([bands[name].ravel() for name in table.columns], axis=1)
    rows = np.nan_to_num(rows).astype(float)
    expected = fitted.predict(type(table)(rows, columns=table.columns))
    expected = np.array([codes.get(name, name) for name in expected]).reshape(80, 90)
    expected[5, 6] = 0
    np.testing.assert_array_equal(np.nan_to_num(read(tmp_path / "c.tif").values[0]), expected)
    assert set(done.counts) == {2, 7}


def test_a_model_may_answer_by_another_function(pixels: Any, tmp_path: Path) -> None:
    import mlflow
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    from gaiaflow.rasters import function_of

    table, names = pixels
    fitted = LogisticRegression().fit(table, names)
    folder, signature = tmp_path / "model", infer_signature(table, fitted.predict_proba(table))
    options = {"signature": signature, "pip_requirements": []}
    mlflow.sklearn.save_model(fitted, folder, pyfunc_predict_fn="predict_proba", **options)
    model = mlflow.pyfunc.load_model(str(folder))
    values = table.to_numpy().T.reshape(3, 10, 20)
    found = function_of(model, list(table.columns))(values.astype("float32"))
    expected = np.asarray(model.predict(table)).T.reshape(2, 10, 20)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_corner_without_data_says_what_comes(make: Make, tmp_path: Path, pixels: Any) -> None:
    """Of a result with several bands, whose number and type the first window decides."""
    import mlflow
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    from gaiaflow.rasters import function_of

    table, names = pixels
    fitted = LogisticRegression().fit(table, names)
    folder, signature = tmp_path / "model", infer_signature(table, fitted.predict_proba(table))
    options = {"signature": signature, "pip_requirements": []}
    mlflow.sklearn.save_model(fitted, folder, pyfunc_predict_fn="predict_proba", **options)
    values = big(600, 600)
    values[:, :256, :256] = np.nan
    path = make(values, tiled=True, blockxsize=256, blockysize=256)
    with open_raster(path) as raster:
        function = function_of(mlflow.pyfunc.load_model(str(folder)), raster.bands)
        apply(function, raster, tmp_path / "p.tif", Description(nodata=-1.0), pixels=1 << 16)
    found = read(tmp_path / "p.tif").values
    assert found.shape == (2, 600, 600)
    assert np.isnan(found[:, :256, :256]).all()
    np.testing.assert_allclose(found[:, 300:].sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize(
    "description",
    [
        Description(nodata=-32768, dtype="int16"),
        Description(nodata=-1, dtype="int16", scale=0.1),
        Description(nodata=-9999.0),
    ],
    ids=["another type", "a scale", "floats"],
)
def test_no_data_is_the_number_that_the_file_names(
    make: Make, tmp_path: Path, description: Description
) -> None:
    import rasterio

    values = big(50, 60)
    values[1, 7, 8] = np.nan

    def function(values: Any) -> Any:
        return values[0] if description.dtype is None else np.ones(values.shape[1:], "uint8")

    with open_raster(make(values)) as raster:
        apply(function, raster, tmp_path / "c.tif", description)
    with rasterio.open(tmp_path / "c.tif") as dataset:
        assert dataset.read(1)[7, 8] == dataset.nodata == description.nodata
        assert (dataset.read(1) == dataset.nodata).sum() == 1


def test_a_model_of_images_says_its_bands_and_its_overlap(make: Make, tmp_path: Path) -> None:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.pyfunc.model import PythonModel
    from mlflow.types import Schema, TensorSpec

    from gaiaflow.rasters import ImageFunction, RasterError, function_of

    class Mean(PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return np.stack([mean_of_9(image[::-1]) for image in model_input])

    images = Schema([TensorSpec(np.dtype("float32"), (-1, 2, -1, -1))])
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        python_model=Mean(),
        signature=ModelSignature(images),
        pip_requirements=[],
        metadata={"bands": ["B08", "B04"], "overlap": 1},
    )
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    values = big()
    with open_raster(make(values, tiled=True, blockxsize=128, blockysize=128)) as raster:
        function = function_of(model, raster.bands)
        assert isinstance(function, ImageFunction)
        apply(function, raster, tmp_path / "m.tif", VALUES, pixels=20_000)
        with pytest.raises(RasterError, match="the model needs B08, and the bands are B02, B04"):
            function_of(model, ("B02", "B04"))
    found = read(tmp_path / "m.tif").values[0]
    np.testing.assert_allclose(found, mean_of_9(values[[2, 3]]), rtol=1e-6)


def test_a_model_that_wants_other_bands(pixels: Any, tmp_path: Path) -> None:
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    from gaiaflow.rasters import function_of

    table, names = pixels
    fitted = LogisticRegression().fit(table, names)
    model = logged(fitted, infer_signature(table, fitted.predict(table)), tmp_path)
    with pytest.raises(RasterError, match="needs B08, and the bands are B02, B04"):
        function_of(model, ("B02", "B04"))
    with pytest.raises(RasterError, match="predicts 'brown', which is not in classes"):
        function_of(model, tuple(table.columns), {"green": 1})(big(20, 20)[:3])
