"""Log an artifact and fetch it as a pod that reaches MLflow, and not MLflow's store. Prints JSON.

Usage: far_store.py ROOT PORT_OF_MLFLOW

A proxy that is not there stands between this program and every other address.
"""

import json
import os
import sys

import mlflow

import gaiaflow
from gaiaflow.project.clients import task_env

address = f"http://localhost:{sys.argv[2]}"  # not what the store is called, 127.0.0.1
gaiaflow.connect()
for name in list(os.environ):
    if name.startswith(("AWS_", "MLFLOW_ENABLE_")) or name.lower().endswith("_proxy"):
        del os.environ[name]
for name, value in {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "localhost"}.items():
    os.environ |= {name: value, name.lower(): value}
os.environ |= task_env({"MLFLOW_TRACKING_URI": address}, in_stack=False)
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"

mlflow.set_tracking_uri(address)
mlflow.set_experiment("far-store")
with mlflow.start_run() as run:
    mlflow.log_text("of a pod", "note.txt")
print(json.dumps(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/note.txt")))
