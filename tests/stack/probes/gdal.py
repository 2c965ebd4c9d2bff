"""Read a raster in the store as QGIS does, by GDAL's own variables, and a copy. Prints JSON.

Usage: gdal.py ROOT KEY FILE
"""

import json
import os
import sys
from pathlib import Path

import rasterio

from gaiaflow.project.project import load

_, root, key, file = sys.argv
env = load(Path(root)).env
os.environ |= {
    "AWS_S3_ENDPOINT": f"127.0.0.1:{env['OBJECT_STORE_PORT']}",
    "AWS_HTTPS": "NO",
    "AWS_VIRTUAL_HOSTING": "FALSE",
    "AWS_ACCESS_KEY_ID": env["AWS_ACCESS_KEY_ID"],
    "AWS_SECRET_ACCESS_KEY": env["AWS_SECRET_ACCESS_KEY"],
}
with rasterio.open(f"/vsis3/{env['S3_BUCKET']}/{key}") as there, rasterio.open(file) as here:
    print(json.dumps({"same": bool((there.read() == here.read()).all())}))
