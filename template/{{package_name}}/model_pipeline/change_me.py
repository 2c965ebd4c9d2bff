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

# Change: what a machine that loads the model needs. Naming it saves MLflow a slow search.
REQUIREMENTS = ("mlflow", "scikit-learn", "skops")


def make_pipeline() -> Pipeline:
    """The untrained pipeline. It is trained and stored as one thing, so no step is forgotten."""
    # Change: add steps. Those made of scikit-learn's own parts load anywhere.
    return Pipeline([("scale", StandardScaler()), ("model", make_model())])


def log_pipeline(pipeline: Pipeline, example: pd.DataFrame) -> str:
    """Log the trained pipeline to the active MLflow run and return its URI."""
    info = mlflow.sklearn.log_model(
        pipeline,
        name="model",
        # skops instead of pickle: loading it does not run code that is stored in it.
        serialization_format="skops",
        # It trusts few types by itself; those of the model that was just trained here are fine.
        skops_trusted_types=skops.io.get_untrusted_types(data=skops.io.dumps(pipeline)),
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
        signature=infer_signature(example, pd.Series(pipeline.predict(example).tolist())),
        input_example=example,
    )
    return str(info.model_uri)
