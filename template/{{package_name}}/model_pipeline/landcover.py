"""The land-cover inference pipeline: raw band reflectances in, class names out.

It is a single scikit-learn Pipeline: to use it in a map, a service or a notebook, you don't need
to know its features.
"""

import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import mlflow.sklearn
import pandas as pd
import skops.io
from mlflow.models import ModelSignature, infer_signature
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from .bands import BANDS
from .indices import add_indices

# The packages needed to load the model. Without them, MLflow would load the model in a fresh
# process to find out, which takes seconds.
REQUIREMENTS = ("mlflow", "numpy", "pandas", "scikit-learn", "skops", "spyndex", "xarray")


def build_pipeline(classifier: Pipeline) -> Pipeline:
    """Put the computation of features in front of a (trained) classifier."""
    return Pipeline([("indices", FunctionTransformer(add_indices)), ("classify", classifier)])


def log_pipeline(
    pipeline: Pipeline, example: pd.DataFrame, classes: Mapping[str, Any] | None = None
) -> str:
    """Log the trained pipeline to the active MLflow run.

    The format is skops, not pickle: it stores the state of known types instead of code that runs
    on loading. The types in the model, including our one function, must be listed as trusted,
    which is safe because the model was just trained here. The function's source travels along, so
    the model also loads where this project isn't installed.

    Args:
        example: some rows of raw reflectances, columns B02, B03, B04, B08.
        classes: the code and colour of each class, which go into the model's metadata.

    Returns:
        The URI of the model.
    """
    with TemporaryDirectory() as folder:
        info = mlflow.sklearn.log_model(
            pipeline,
            name="model",
            serialization_format="skops",
            skops_trusted_types=skops.io.get_untrusted_types(data=skops.io.dumps(pipeline)),
            code_paths=[str(copy_code(Path(folder)))],
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
            signature=make_signature(pipeline, example),
            input_example=example,
            metadata={
                # No row depends on others, so serving may predict for several requests at once.
                "row_wise": True,
                **({"classes": dict(classes)} if classes else {}),
            },
        )
    return str(info.model_uri)


def copy_code(folder: Path) -> Path:
    """Copy this folder, which a model needs for prediction, into `folder`.

    The rest of the package stays out: each file is uploaded and downloaded with every model.
    """
    here = Path(__file__).parent
    package = folder / here.parent.name
    shutil.copytree(here, package / here.name, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__init__.py").touch()
    return package


def make_signature(pipeline: Pipeline, example: pd.DataFrame) -> ModelSignature:
    """The columns and types of the model's input and output."""
    return infer_signature(example[list(BANDS)], pd.Series(pipeline.predict(example), dtype=str))
