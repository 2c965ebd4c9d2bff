"""Change me: test your functions. None of this needs Airflow, an object store or a network.

Functions that only move data (`load`, `train` ...) are thin. The work is in functions that take
and return tables, and those are tested here.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from my_package.model.change_me import FEATURES, make_model
from my_package.model_pipeline.change_me import (
    log_pipeline,
    make_pipeline,
)
from my_package.preprocess.change_me import add_features
from my_package.utils import s3


@pytest.fixture
def table() -> pd.DataFrame:
    rows = {"red": [0.05, 0.06, 0.2, 0.25], "nir": [0.45, 0.4, 0.3, 0.35]}
    return pd.DataFrame({**rows, "class": ["plants", "plants", "soil", "soil"]})


def test_features(table: pd.DataFrame) -> None:
    assert add_features(table)["ndvi"][0] == pytest.approx(0.8)


def test_gaps_are_refused(table: pd.DataFrame) -> None:
    table.loc[1, "red"] = None
    with pytest.raises(ValueError, match="gaps"):
        add_features(table)


@pytest.mark.parametrize(
    "model",
    [make_model(), RandomForestClassifier(n_estimators=20), KNeighborsClassifier(1)],
    ids=lambda model: type(model).__name__,
)
def test_the_logged_model_predicts(
    model: Any, table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MLflow's files go there
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path.as_posix()}/mlflow.db")
    features = add_features(table)
    pipeline = make_pipeline().set_params(model=model)
    pipeline.fit(features[FEATURES], features["class"])
    with mlflow.start_run():
        uri = log_pipeline(pipeline, features[FEATURES].head(2))
    answers = mlflow.pyfunc.load_model(uri).predict(features[FEATURES])
    assert list(answers) == list(pipeline.predict(features[FEATURES]))


def test_keys_of_a_run_stay_together() -> None:
    assert s3.beside("run/1/table.csv", "features.csv") == "run/1/features.csv"


def test_a_missing_bucket_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S3_BUCKET", raising=False)
    with pytest.raises(RuntimeError, match=r"gaiaflow\.connect"):
        s3.bucket()
