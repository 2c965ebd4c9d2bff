"""Register models for tests of serving, or read the log of requests."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any

root, order, *arguments = sys.argv[1:]
sys.path.insert(0, root)

import gaiaflow

gaiaflow.connect()


def main() -> Any:
    import mlflow
    from mlflow import MlflowClient

    client = MlflowClient()
    if order == "again":  # the champion once more, as a new version
        [name] = arguments
        champion = client.get_model_version_by_alias(name, "champion")
        return client.create_model_version(name, champion.source, champion.run_id).version
    if order == "broken":  # a version that does not load
        [name] = arguments
        with mlflow.start_run():
            broken = mlflow.pyfunc.log_model(
                name="model", loader_module="module_that_is_gone", pip_requirements=[]
            )
        return mlflow.register_model(broken.model_uri, name).version
    [name, wanted] = arguments  # the rows of one request
    import boto3
    import pyarrow.parquet as pq

    store, bucket = boto3.client("s3"), os.environ["S3_BUCKET"]
    found = store.list_objects_v2(Bucket=bucket, Prefix=f"serving/{name}/").get("Contents", [])
    rows = []
    for entry in found:
        content = store.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
        rows += pq.read_table(io.BytesIO(content)).to_pylist()
    return [row for row in rows if row["id"] == wanted]


print(json.dumps(main(), default=str))
