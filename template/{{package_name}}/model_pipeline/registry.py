"""The model registry: which version is the champion."""

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

CHAMPION = "champion"


def champion_version(name: str) -> str | None:
    """The version of the registered model `name` that is in use, or None if there is none."""
    try:
        return str(MlflowClient().get_model_version_by_alias(name, CHAMPION).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None  # no such model, or a model without this alias
        raise
