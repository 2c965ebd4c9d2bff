"""Serve MLflow in one process, in the project's environment.

`mlflow server` stays behind its only worker as a second process that has imported the same:
190 MiB more, and twice the time until it answers. This does what it does, in one.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn

import uvicorn  # before mlflow.server, which then knows that it serves


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
    except ImportError:  # an MLflow that is made differently
        _exec_mlflow_server()
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
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning")


def _exec_mlflow_server() -> NoReturn:
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    os.execv(sys.executable, [*command, *sys.argv[1:]])


if __name__ == "__main__":
    main()
