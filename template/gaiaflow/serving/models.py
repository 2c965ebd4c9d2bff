"""The model that is served: find the champion, load a version, look out for the next champion."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow.artifacts
import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.pyfunc import PyFuncModel

logger = logging.getLogger("gaiaflow.serving")

_ALIAS = "champion"
_POLL = 3.0  # seconds between two looks for a new champion
_WARM_UP = 3  # predictions before the first request


class CantServe(Exception):
    """The model can't be served. The message says what to do."""


def champion(model: str) -> str:
    """The version that is the champion now.

    Raises:
        CantServe: there is none, or MLflow does not answer.
    """
    try:
        return str(MlflowClient().get_model_version_by_alias(model, _ALIAS).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            advice = (
                "The example `landcover` makes one: python3 mlops_manager.py run landcover"
                if model == "landcover"
                else "A DAG must register and promote a model of that name first."
            )
            raise CantServe(
                f"The model {model!r} has no champion.\n"
                f"{advice}\n"
                "See what is registered: python3 mlops_manager.py models\n"
                "Choose a champion: python3 mlops_manager.py promote NAME VERSION\n"
                "To serve a different model, set SERVING_MODEL in .env."
            ) from None
        raise CantServe(f"MLflow at {mlflow.get_tracking_uri()} failed: {error}") from error


def load(model: str, version: str, folder: Path) -> PyFuncModel:
    """Load a version, and let it predict its own input example.

    Args:
        folder: for its files. If it has them already, MLflow's server isn't asked.

    Raises:
        CantServe: that failed.
    """
    uri = f"models:/{model}/{version}"
    try:
        if not (folder / MLMODEL_FILE_NAME).exists():
            mlflow.artifacts.download_artifacts(uri, dst_path=str(folder))
        loaded: PyFuncModel = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
        example = loaded.input_example
        for _ in range(_WARM_UP if example is not None else 0):
            loaded.predict(example)
    except Exception as error:  # whatever the model's code raises
        raise CantServe(f"{uri} does not load: {type(error).__name__}: {error}") from error
    return loaded


def new_champions(model: str, version: str) -> Iterator[str]:
    """Yield the champion's version whenever a look finds a different one; never ends."""
    answers = True
    while True:
        time.sleep(_POLL)
        try:
            found = champion(model)
        except CantServe as error:
            if answers:
                logger.warning("version %s is served until this changes: %s", version, error)
            answers = False
            continue
        answers = True
        if found != version:
            yield found
