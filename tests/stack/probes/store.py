"""Read from the object store as GDAL does. Prints what is in a raster that boto3 put there.

Usage: store.py ROOT
"""

import json
import os

import boto3
import numpy as np
import rasterio
from rasterio.io import MemoryFile

import gaiaflow

gaiaflow.connect()
BUCKET, KEY = os.environ["S3_BUCKET"], "store/probe.tif"
with MemoryFile() as memory:
    with memory.open(driver="GTiff", width=2, height=1, count=1, dtype="uint8") as made:
        made.write(np.array([[[3, 4]]], "uint8"))
    boto3.client("s3").put_object(Bucket=BUCKET, Key=KEY, Body=memory.read())
with rasterio.open(f"s3://{BUCKET}/{KEY}") as found:
    print(json.dumps(found.read(1).tolist()))
