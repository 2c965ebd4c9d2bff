"""What a run of the land-cover pipeline has put into the object store. Prints JSON.

Usage: products.py ROOT
"""

import hashlib
import io
import json
import os

import boto3
from matplotlib.image import imread
from rasterio.io import MemoryFile

import gaiaflow

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


objects = {}
for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="landcover/"):
    for item in page.get("Contents", []):
        content = client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
        found = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        if item["Key"].endswith(".tif"):
            found |= describe(content)
        elif item["Key"].endswith(".png"):
            found["shape"] = list(imread(io.BytesIO(content)).shape)
        elif item["Key"].endswith(".csv"):
            header, *rows = content.decode().splitlines()
            found |= {"columns": header.split(","), "rows": len(rows)}
        objects[item["Key"]] = found
print(json.dumps(objects))
