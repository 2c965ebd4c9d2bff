"""gaiaflow.serving, in the environment of a generated project, where it runs.

tests/stack/test_generated.py runs these tests there; any other pytest without MLflow passes them
over.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

if importlib.util.find_spec("mlflow") is None:
    collect_ignore_glob = ["test_*.py"]

Load = Callable[..., Any]


@pytest.fixture
def load() -> Load:
    """A model of MLflow's with the inputs red and nir, around a function."""
    import pandas as pd
    from mlflow.models import Model, infer_signature
    from mlflow.pyfunc import PyFuncModel

    def load(predict: Callable[[pd.DataFrame], Any], row_wise: bool = True) -> PyFuncModel:
        class Implementation:
            def predict(self, table: pd.DataFrame, params: Any = None) -> Any:
                return predict(table)

        example = pd.DataFrame({"red": [0.1, 0.2], "nir": [0.3, 0.4]})
        about = Model(
            signature=infer_signature(example, ["Water"]), metadata={"row_wise": row_wise}
        )
        about.add_flavor("python_function", loader_module="none")
        return PyFuncModel(about, Implementation())

    return load
