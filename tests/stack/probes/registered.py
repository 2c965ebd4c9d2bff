"""The names of all models that MLflow has registered. Prints JSON.

Usage: registered.py ROOT
"""

import json

import mlflow

import gaiaflow

gaiaflow.connect()
print(json.dumps([model.name for model in mlflow.MlflowClient().search_registered_models()]))
