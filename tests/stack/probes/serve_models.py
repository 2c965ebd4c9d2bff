"""Register models for tests of serving, or read the log of requests. Prints what it made or found.

Usage: serve_models.py ROOT again|broken|rows NAME [REQUEST...]
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import boto3
import mlflow
import pyarrow.parquet as pq
from mlflow import MlflowClient

import gaiaflow
from gaiaflow.stac.tables import parquet_file

gaiaflow.connect()


def main() -> Any:
    _, order, name, *wanted = sys.argv[1:]
    client = MlflowClient()
    if order == "again":  # the champion once more, as a new version
        champion = client.get_model_version_by_alias(name, "champion")
        return mlflow.register_model(champion.source, name).version
    if order == "broken":  # a version that does not load
        with mlflow.start_run():
            broken = mlflow.pyfunc.log_model(
                name="model", loader_module="module_that_is_gone", pip_requirements=[]
            )
        return mlflow.register_model(broken.model_uri, name).version
    store, bucket = boto3.client("s3"), os.environ["S3_BUCKET"]
    found = store.list_objects_v2(Bucket=bucket, Prefix=f"serving/{name}/").get("Contents", [])
    rows = []
    for entry in found:
        content = store.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
        rows += pq.read_table(parquet_file(content)).to_pylist()
    return [row for row in rows if row["id"] in wanted]


print(json.dumps(main(), default=str))
