"""Objects in the project's S3 bucket.

Every task runs in its own process (in production, in its own pod), so tasks exchange data through
the object store, and only the keys travel through Airflow.
"""

import io
import os
import secrets
import tempfile
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
import pandas as pd


@cache
def client() -> Any:
    """The S3 client; endpoint, keys and region come from the environment."""
    return boto3.client("s3")


def bucket() -> str:
    """The project's bucket. Raises RuntimeError if it isn't set."""
    try:
        return os.environ["S3_BUCKET"]
    except KeyError:
        raise RuntimeError(
            "S3_BUCKET is not set. Run this in a task, or call gaiaflow.connect() first."
        ) from None


def new_prefix(pipeline: str) -> str:
    """A new prefix for one run's results, such as "landcover/20260131-120000-3f9a1c"."""
    return f"{pipeline}/{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def uri(key: str) -> str:
    """The address of `key` for everything else that reads or writes the store, such as GDAL."""
    return f"s3://{bucket()}/{key}"


def beside(key: str, name: str) -> str:
    """The key of `name` next to `key`, which keeps a run's results together."""
    return f"{key.rpartition('/')[0]}/{name}".lstrip("/")


def put(key: str, data: bytes) -> str:
    """Store `data` and return its key."""
    client().put_object(Bucket=bucket(), Key=key, Body=data)
    return key


def get(key: str) -> bytes:
    """The object stored under `key`. Raises FileNotFoundError if there is none."""
    try:
        data: bytes = client().get_object(Bucket=bucket(), Key=key)["Body"].read()
    except client().exceptions.NoSuchKey:
        raise FileNotFoundError(f"s3://{bucket()}/{key} does not exist") from None
    return data


def put_table(key: str, table: pd.DataFrame) -> str:
    """Store `table` without its index and return its key: as CSV, or as (Geo)Parquet by its end."""
    if not key.endswith(".parquet"):
        return put(key, table.to_csv(index=False).encode())
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return put(key, buffer.getvalue())


def get_table(key: str) -> pd.DataFrame:
    """The table stored under `key`; places in it are bytes (WKB)."""
    data = get(key)
    if not key.endswith(".parquet"):
        return pd.read_csv(io.BytesIO(data))
    # From a file, as Arrow's threads may hold Python's bytes a moment longer than the read takes,
    # and abort a Python that ends meanwhile (apache/arrow#33975).
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        file.write(data)
        file.flush()
        return pd.read_parquet(file.name)
