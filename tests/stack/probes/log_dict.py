"""Log a file to MLflow and read it back, as a notebook does. Prints what was read, as JSON.

Usage: log_dict.py ROOT
"""

import json

import mlflow

import gaiaflow

gaiaflow.connect()
with mlflow.start_run() as run:
    mlflow.log_dict({"a": 1}, "probe.json")
address = f"{run.info.artifact_uri}/probe.json"
print(json.dumps(mlflow.artifacts.load_dict(address)))
