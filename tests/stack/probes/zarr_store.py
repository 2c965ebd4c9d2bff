"""Write a Zarr store through fsspec and read it again. Prints its values and the objects' keys.

s3fs and zarr are not in the project's environment: they come with the interpreter.

Usage: zarr_store.py ROOT
"""

import json
import os

import fsspec
import xarray as xr

import gaiaflow

gaiaflow.connect()
place = f"s3://{os.environ['S3_BUCKET']}/store/probe.zarr"
xr.Dataset({"ndvi": ("time", [0.25, 0.5])}).to_zarr(place, mode="w")
with xr.open_zarr(place) as found:
    values = found["ndvi"].values.tolist()
objects = fsspec.filesystem("s3").find(place)
print(json.dumps({"values": values, "objects": len(objects)}))
