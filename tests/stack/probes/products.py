"""What runs of the land-cover pipelines have put into the object store. Prints JSON.

Usage: products.py ROOT [PREFIX ...]
"""

import hashlib
import io
import json
import os
import sys

import boto3
import pandas as pd
from matplotlib.image import imread
from rasterio.io import MemoryFile

import gaiaflow
from gaiaflow.stac.tables import parquet_file

gaiaflow.connect()
BUCKET = os.environ["S3_BUCKET"]
client = boto3.client("s3")


def describe(content: bytes) -> dict[str, object]:
    with MemoryFile(content) as memory, memory.open() as raster:
        values = raster.read()
        return {
            "layout": raster.tags(ns="IMAGE_STRUCTURE").get("LAYOUT"),
            "overviews": raster.overviews(1),
            "crs": raster.crs.to_wkt() if raster.crs else None,
            "transform": list(raster.transform)[:6],
            "nodata": str(raster.nodata),
            "shape": list(raster.shape),
            "bands": raster.count,
            "dtype": raster.dtypes[0],
            "descriptions": list(raster.descriptions),
            "tags": raster.tags(),
            "values": sorted({int(value) for value in values.ravel()}) if raster.count == 1 else [],
        }


def listed(prefix: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


objects = {}
for key in [key for prefix in sys.argv[2:] or ["landcover/"] for key in listed(prefix)]:
    content = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    found = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if key.endswith(".tif"):
        found |= describe(content)
    elif key.endswith(".png"):
        found["shape"] = list(imread(io.BytesIO(content)).shape)
    elif key.endswith(".parquet"):
        table = pd.read_parquet(parquet_file(content))
        found |= {"columns": list(table.columns), "rows": len(table)}
    elif key.endswith(".json"):
        found["json"] = json.loads(content)
    objects[key] = found
print(json.dumps(objects))
