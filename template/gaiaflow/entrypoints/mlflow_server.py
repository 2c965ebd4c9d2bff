"""Serve MLflow in one process, in the project's environment, behind the project's password.

`mlflow server` runs a supervisor beside its only worker, and both import MLflow: that takes
190 MiB more memory and twice the time to start. This does the same in one process.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn  # before mlflow.server, which checks for it to know that it is serving

from gaiaflow.entrypoints.guard import Guard
from gaiaflow.project.databases import keep_copy, revision

if TYPE_CHECKING:
    from fastapi import FastAPI

_KIND, _MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"

# MLflow's pages start in the mode for language models, with an assistant and a notice about
# telemetry, which is off here. Choices that a user has made are kept.
_PREFERENCES = """<script>
for (const [name, value] of [
  ["mlflow.workflowType_v1", '"machine_learning"'],
  ["mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true"],
  ["mlflow.telemetry.info.alert.dismissed_v1", "true"],
]) if (localStorage.getItem(name) === null) localStorage.setItem(name, value);
</script>"""


def main() -> None:
    """Serve until a signal arrives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    # A URI with a password goes into the environment: every user can read command lines.
    database = os.environ.get("MLFLOW_BACKEND_STORE_URI")
    parser.add_argument("--backend-store-uri", default=database, required=not database)
    parser.add_argument("--artifacts-destination", required=True)
    options = parser.parse_args()
    try:
        from mlflow.server import (
            ARTIFACT_ROOT_ENV_VAR,
            ARTIFACTS_DESTINATION_ENV_VAR,
            BACKEND_STORE_URI_ENV_VAR,
            REGISTRY_STORE_URI_ENV_VAR,
            SERVE_ARTIFACTS_ENV_VAR,
        )
        from mlflow.server.fastapi_app import app
        from mlflow.server.handlers import initialize_backend_stores
    except ImportError as error:  # falling back to `mlflow server` would mean no password
        sys.exit(
            f"Gaiaflow does not support this release of MLflow: {error}.\n"
            "Require a tested release in pyproject.toml (mlflow>=3.17,<4), "
            "then: python3 mlops_manager.py deps"
        )
    artifact_root = "mlflow-artifacts:/"
    os.environ.update(
        {
            BACKEND_STORE_URI_ENV_VAR: options.backend_store_uri,
            REGISTRY_STORE_URI_ENV_VAR: options.backend_store_uri,
            ARTIFACT_ROOT_ENV_VAR: artifact_root,
            ARTIFACTS_DESTINATION_ENV_VAR: options.artifacts_destination,
            SERVE_ARTIFACTS_ENV_VAR: "true",
        }
    )
    database = options.backend_store_uri
    _open(lambda: initialize_backend_stores(database, database, artifact_root), database)
    _mark_experiment(os.environ["MLFLOW_EXPERIMENT_NAME"])
    _prefer_model_training(app)
    user, password = (os.environ[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD"))
    guarded: Any = Guard(app, user, password)
    uvicorn.run(guarded, host=options.host, port=options.port, log_level="warning")


def _open(stores: Callable[[], None], database: str) -> None:
    """Open the stores; first upgrade a database that an older release of MLflow created."""
    from mlflow.db import upgrade
    from mlflow.exceptions import MlflowException
    from mlflow.store.db.utils import _get_latest_schema_revision

    scheme, _, path = database.partition(":///")
    if scheme == "sqlite" and revision(Path(path)) not in {None, _get_latest_schema_revision()}:
        keep_copy(Path(path))
    try:
        stores()  # upgrades a database that lacks tables, but not one that lacks columns
    except MlflowException as error:
        if "out-of-date database schema" not in str(error):
            raise
        sys.stderr.write("Upgrading the database to this release of MLflow\n")
        upgrade.callback(database)
        stores()


def _mark_experiment(name: str) -> None:
    """Tag the project's experiment as model training; create it if it does not exist."""
    from mlflow.entities import ExperimentTag
    from mlflow.server.handlers import _get_tracking_store

    store = _get_tracking_store()
    kind = ExperimentTag(_KIND, _MODEL_TRAINING)
    experiment = store.get_experiment_by_name(name)
    if experiment is None:
        store.create_experiment(name, tags=[kind])
    elif _KIND not in experiment.tags and experiment.lifecycle_stage == "active":
        store.set_experiment_tag(experiment.experiment_id, kind)


def _prefer_model_training(app: FastAPI) -> None:
    """Make MLflow's pages start with the mode that suits this project."""
    import mlflow.server
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

    file = Path(mlflow.server.__file__).parent / "js" / "build" / "index.html"
    if not file.is_file():
        return
    page = file.read_text(encoding="utf-8").replace("<head>", f"<head>{_PREFERENCES}", 1)
    headers = {"Cache-Control": "no-cache"}

    def start(request: Any) -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    app.router.routes.insert(0, Route("/", start))


if __name__ == "__main__":
    main()
