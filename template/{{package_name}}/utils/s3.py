"""Objects in the project's S3 bucket.

Every task runs in a process of its own (in production: in a pod), so what one leaves for the
next goes through the object store, and only its key travels through Airflow.
"""

import io
import os
import secrets
from datetime import datetime, timezone
from functools import cache
from typing import Any

import boto3
import pandas as pd


@cache
def client() -> Any:
    """The S3 client; endpoint, keys and region come from the environment."""
    return boto3.client("s3")


def bucket() -> str:
    """The project's bucket. Raises RuntimeError where nobody has said which one it is."""
    try:
        return os.environ["S3_BUCKET"]
    except KeyError:
        raise RuntimeError(
            "S3_BUCKET is not set: run this in a task, or call gaiaflow.connect() first"
        ) from None


def new_prefix(pipeline: str) -> str:
    """A fresh place for one run's results, such as "landcover/20260131-120000-3f9a1c"."""
    return f"{pipeline}/{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def beside(key: str, name: str) -> str:
    """The key of `name` in the same place as `key`: a run's results stay together."""
    return f"{key.rpartition('/')[0]}/{name}".lstrip("/")


def put(key: str, data: bytes) -> str:
    """Store `data` and return its key."""
    client().put_object(Bucket=bucket(), Key=key, Body=data)
    return key


def get(key: str) -> bytes:
    """What is stored under `key`. Raises FileNotFoundError when there is nothing."""
    try:
        data: bytes = client().get_object(Bucket=bucket(), Key=key)["Body"].read()
    except client().exceptions.NoSuchKey:
        raise FileNotFoundError(f"s3://{bucket()}/{key} does not exist") from None
    return data


def put_table(key: str, table: pd.DataFrame) -> str:
    """Store `table` as CSV (without its index) and return its key."""
    return put(key, table.to_csv(index=False).encode())


def get_table(key: str) -> pd.DataFrame:
    """The CSV table stored under `key`."""
    return pd.read_csv(io.BytesIO(get(key)))
