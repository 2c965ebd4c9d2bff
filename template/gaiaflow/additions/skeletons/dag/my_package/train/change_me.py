"""Change me: train your model."""

from typing import Any

import mlflow
from mlflow.data.pandas_dataset import from_pandas

from ..model.change_me import FEATURES
from ..model_pipeline.change_me import log_pipeline, make_pipeline
from ..utils import s3


def train(features: str) -> dict[str, Any]:
    """Train on the table stored under this key; parameters, metrics, model go to MLflow."""
    table = s3.get_table(features)
    train_rows = table.sample(frac=0.7, random_state=0)
    test_rows = table.drop(train_rows.index)

    with mlflow.start_run(run_name="change_me") as run:
        pipeline = make_pipeline().fit(train_rows[FEATURES], train_rows["class"])
        accuracy = float(pipeline.score(test_rows[FEATURES], test_rows["class"]))
        # Change: log what you want to compare between runs.
        mlflow.log_params({"features": ", ".join(FEATURES), "samples": len(train_rows)})
        mlflow.log_metric("accuracy", accuracy)
        data = from_pandas(table, s3.uri(features), targets="class", name="features")
        mlflow.log_input(data, context="training")
        model = log_pipeline(pipeline, test_rows[FEATURES].head(3))
    return {"run_id": run.info.run_id, "model": model, "accuracy": accuracy}
