"""Let models look at pixels: from bands to the columns or arrays that a model's signature names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gaiaflow.rasters.encoding import Values
from gaiaflow.rasters.errors import RasterError

# From float32 of shape (bands, rows, columns) to an array of shape (rows, columns) or
# (bands, rows, columns).
Function: TypeAlias = Callable[[Values], npt.NDArray[Any]]

# From a table to an answer for each row.
Predict: TypeAlias = Callable[[Any], Any]

_ROWS = 1 << 18  # pixels in one call of a model: enough that checks of its input cost little


@dataclass(frozen=True)
class ImageFunction:
    """A function of a window whose result for a pixel also depends on its neighbours.

    Attributes:
        overlap: how far away, in pixels, a neighbour may be that matters.
        pixels: about how many pixels a window should have. Networks hold many values for each.
        watch: gets each window too, without the overlap.
    """

    function: Function
    overlap: int
    pixels: int = 1 << 18
    watch: Callable[[Values], None] | None = None

    def __call__(self, values: Values) -> npt.NDArray[Any]:
        return self.function(values)


def function_of(
    model: Any, bands: Sequence[str], classes: Mapping[str, int] | None = None, nodata: float = 0
) -> Function:
    """Make a function of arrays out of a model that predicts from a table or from arrays.

    Args:
        model: a model as `mlflow.pyfunc.load_model` returns it, with a signature, or anything with
            a `predict` of tables, which have a column for each band.
        bands: the names of the bands, in the order of the array.
        classes: the number for each text that the model predicts; not needed if it predicts
            numbers.
        nodata: the result for pixels that lack a band.

    A model of images may say in its metadata (`log_model(..., metadata=...)`) the names of its
    `bands` in their order, and the `overlap` that `apply` then gives its windows.

    Raises:
        RasterError: the model wants other bands.
    """
    signature = getattr(getattr(model, "metadata", None), "signature", None)
    inputs = getattr(signature, "inputs", None)
    if inputs is not None and inputs.is_tensor_spec():
        return _of_arrays(model, inputs, bands, classes)
    wanted = inputs.input_names() if inputs is not None else list(bands)
    places = _places(wanted, bands)
    if (predict := _of_scikit_learn(model)) is not None:
        return _of_tables(predict, wanted, places, np.dtype(np.float32), classes, nodata)
    types = [spec.type.to_numpy() for spec in inputs.inputs] if inputs is not None else []
    dtype = np.result_type(*types) if types else np.dtype(np.float64)
    return _of_tables(model.predict, wanted, places, dtype, classes, nodata)


def _places(wanted: Sequence[str], bands: Sequence[str]) -> list[int]:
    """Where the bands that a model wants are."""
    missing = [name for name in wanted if name not in bands]
    if missing:
        raise RasterError(
            f"the model needs {', '.join(missing)}, and the bands are {', '.join(bands)}"
        )
    return [list(bands).index(name) for name in wanted]


def _of_scikit_learn(model: Any) -> Predict | None:
    """What a model of MLflow's calls, if it is one of scikit-learn; else None.

    It takes the rasters' own float32. MLflow would copy each table, to the signature's types.
    """
    flavors = getattr(getattr(model, "metadata", None), "flavors", {})
    about = flavors.get("python_function", {})
    if about.get("loader_module") != "mlflow.sklearn":
        return None
    predict: Predict = getattr(model.get_raw_model(), about.get("predict_fn", "predict"))
    return predict


def _of_tables(
    predict_table: Predict,
    columns: Sequence[str],
    places: Sequence[int],
    dtype: np.dtype[Any],
    classes: Mapping[str, int] | None,
    nodata: float,
) -> Function:
    import pandas as pd

    def predict(values: Values) -> npt.NDArray[Any]:
        shape = values.shape[1:]
        chosen = values[places].reshape(len(places), -1)
        valid = np.isfinite(chosen).all(axis=0)
        pixels = chosen if valid.all() else chosen[:, valid]
        if not valid.any():  # one, which tells the shape and type of answers
            pixels = np.zeros((len(places), 1), chosen.dtype)
        found = [
            numbers_of(
                predict_table(pd.DataFrame(part.T.astype(dtype, copy=False), columns=columns)),
                classes,
            )
            for part in np.array_split(pixels, max(pixels.shape[1] // _ROWS, 1), axis=1)
            if part.size
        ]
        result = np.full((valid.size, *found[0].shape[1:]), nodata, found[0].dtype)
        if valid.any():
            result[valid] = np.concatenate(found)
        return np.moveaxis(result.reshape(*shape, *result.shape[1:]), (0, 1), (-2, -1))

    return predict


def _of_arrays(
    model: Any, inputs: Any, bands: Sequence[str], classes: Mapping[str, int] | None
) -> Function:
    spec = inputs.inputs[0]
    shape = spec.shape
    about = model.metadata.metadata or {}
    wanted = about.get("bands", bands)
    if len(shape) == 4 and shape[1] in (-1, len(wanted)):  # images: (scenes, bands, rows, columns)
        places = _places(wanted, bands)

        def predict(values: Values) -> npt.NDArray[Any]:
            found = model.predict(values[np.newaxis, places].astype(spec.type, copy=False))
            return numbers_of(np.asarray(found)[0], classes)

        return ImageFunction(predict, overlap=int(about.get("overlap", 0)))
    if len(shape) == 2 and shape[1] in (-1, len(bands)):  # pixels: (pixels, bands)

        def predict_pixels(values: Values) -> npt.NDArray[Any]:
            pixels = values.reshape(len(values), -1).T.astype(spec.type, copy=False)
            found = numbers_of(model.predict(np.nan_to_num(pixels)), classes)
            grid = found.reshape(*values.shape[1:], *found.shape[1:])
            return np.moveaxis(grid, (0, 1), (-2, -1))

        return predict_pixels
    raise RasterError(
        f"the model wants arrays of shape {shape}, and there are {len(bands)} bands: it should be "
        f"(-1, {len(bands)}) for pixels or (-1, {len(bands)}, -1, -1) for images"
    )


def numbers_of(predicted: Any, classes: Mapping[str, int] | None) -> npt.NDArray[Any]:
    """What a model predicts, as numbers: texts become the numbers of their classes.

    Raises:
        RasterError: a text has no number.
    """
    found = np.asarray(predicted)
    if found.dtype.kind not in "OUST":
        return found
    import pandas as pd

    numbers, names = pd.factorize(found.ravel())
    unknown = [name for name in names if name not in (classes or {})]
    if unknown:
        raise RasterError(f"the model predicts {str(unknown[0])!r}, which is not in classes")
    table = np.array([(classes or {})[name] for name in names], np.uint8)
    return np.asarray(table[numbers].reshape(found.shape))
