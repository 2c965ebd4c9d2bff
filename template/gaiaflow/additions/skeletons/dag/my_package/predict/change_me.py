"""Change me: apply your model to new data."""

from typing import Any

import mlflow

from ..model.change_me import FEATURES
from ..utils import s3


def predict(features: str, model: str) -> dict[str, Any]:
    """Apply the model at this URI to the table stored under this key."""
    # Change: predict on data that the model was not trained on.
    table = s3.get_table(features)
    # To use a registered model's champion: "models:/name@champion".
    answers = mlflow.pyfunc.load_model(model).predict(table[FEATURES])
    table = table.assign(predicted=answers)
    return {"predictions": s3.put_table(s3.beside(features, "predictions.csv"), table)}
