"""Serve MLflow in one process, in the project's environment, behind the project's password.

`mlflow server` stays behind its only worker as a second process that has imported the same:
190 MiB more, and twice the time until it answers. This does what it does, in one.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn  # before mlflow.server, which then knows that it serves

from gaiaflow.guard import Guard

if TYPE_CHECKING:
    from fastapi import FastAPI

_KIND, _MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"

# MLflow's pages begin as those of a product for language models, with an assistant over them and a
# word on telemetry, which is off here. What a person has chosen there stays.
_PREFERENCES = """<script>
for (const [name, value] of [
  ["mlflow.workflowType_v1", '"machine_learning"'],
  ["mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true"],
  ["mlflow.telemetry.info.alert.dismissed_v1", "true"],
]) if (localStorage.getItem(name) === null) localStorage.setItem(name, value);
</script>"""


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    # In the environment if there is a password in it: a command line can be read by every user.
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
    except ImportError as error:  # `mlflow server` would ask for no password
        sys.exit(
            f"This MLflow is made differently: {error}.\n"
            "Ask for the one that Gaiaflow was tested with in pyproject.toml (mlflow>=3.17,<4), "
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
    initialize_backend_stores(options.backend_store_uri, options.backend_store_uri, artifact_root)
    _mark_experiment(os.environ["MLFLOW_EXPERIMENT_NAME"])
    _prefer_model_training(app)
    user, password = (os.environ[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD"))
    guarded: Any = Guard(app, user, password)
    uvicorn.run(guarded, host=options.host, port=options.port, log_level="warning")


def _mark_experiment(name: str) -> None:
    """Say of the project's experiment that it trains models; make it if there is none."""
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
    """Let MLflow's pages begin with what a person would choose in this project."""
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
