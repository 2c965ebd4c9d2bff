"""Change me: the inference pipeline, everything between your data and the answer."""

from importlib.metadata import version

import mlflow
import mlflow.sklearn
import pandas as pd
import skops.io
from mlflow.models import infer_signature
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from ..model.change_me import make_model

# Change: the packages needed to load the model. Naming them saves MLflow a slow search.
REQUIREMENTS = ("mlflow", "scikit-learn", "skops")


def make_pipeline() -> Pipeline:
    """The untrained pipeline. It is trained and stored as one object, so no step is forgotten."""
    # Change: add steps. Steps from scikit-learn load anywhere.
    return Pipeline([("scale", StandardScaler()), ("model", make_model())])


def log_pipeline(pipeline: Pipeline, example: pd.DataFrame) -> str:
    """Log the trained pipeline to the active MLflow run and return its URI."""
    info = mlflow.sklearn.log_model(
        pipeline,
        name="model",
        # skops instead of pickle: loading it doesn't run stored code.
        serialization_format="skops",
        # By default it trusts few types; those of the model just trained here are safe.
        skops_trusted_types=skops.io.get_untrusted_types(data=skops.io.dumps(pipeline)),
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
        signature=infer_signature(example, pd.Series(pipeline.predict(example).tolist())),
        input_example=example,
        # Change: if the prediction for a row depends on other rows, remove this. It allows serving
        # to predict for several requests at once, which is faster.
        metadata={"row_wise": True},
    )
    return str(info.model_uri)
