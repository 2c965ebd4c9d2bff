"""The model registry: which version is the champion."""

from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

CHAMPION = "champion"
SINCE = "champion_since"  # the tag by which `mlops_manager.py rollback` finds the previous champion


def champion_version(name: str) -> str | None:
    """The version of the registered model `name` that is in use, or None if there is none."""
    try:
        return str(MlflowClient().get_model_version_by_alias(name, CHAMPION).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None  # no such model, or a model without this alias
        raise


def with_version(model: str) -> str:
    """The URI of a model with its version for the one with an alias, which may move on.

    Raises:
        LookupError: no version has this alias.
    """
    name, _, alias = model.removeprefix("models:/").partition("@")
    if not alias:
        return model
    try:
        version = MlflowClient().get_model_version_by_alias(name, alias).version
    except MlflowException as error:
        raise LookupError(f"{model} can't be used: {error.message}") from None
    return f"models:/{name}/{version}"


def promote(name: str, version: int) -> None:
    """Make a version the champion: maps and serving use it from now on."""
    client = MlflowClient()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_registered_model_alias(name, CHAMPION, str(version))
    client.set_model_version_tag(name, str(version), SINCE, now)
