"""Serve the map, in its own environment, behind the project's keys."""

from __future__ import annotations

import argparse
import os
import warnings
from typing import Any

import uvicorn
from rasterio.errors import NotGeoreferencedWarning

from gaiaflow.maps.app import create_app
from gaiaflow.maps.catalog import Catalog
from gaiaflow.maps.entrance import Entrance


def main() -> None:
    """Serve until a signal arrives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore", NotGeoreferencedWarning)  # of scenes on a plain grid
    user, password = (os.environ[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD"))
    app: Any = Entrance(create_app(Catalog(os.environ["S3_BUCKET"])), user, password)
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
