"""What a person's shell has for other projects must not decide a test.

Docker's variables stay: they say which engine this person uses.
"""

from __future__ import annotations

import os

FOREIGN = (
    "AIRFLOW_",
    "AWS_",
    "COPIER_",
    "GAIAFLOW_",
    "GDAL_",
    "GIT_COMMON_DIR",  # git sets these for hooks and `rebase --exec`
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
    "JUPYTER",
    "KUBE",
    "MINIO_",
    "MLFLOW_",
    "OTEL_",
    "PROJ_",
    "S3_",
    "SQLALCHEMY_",
)
# Options of the tests themselves.
OURS = ("GAIAFLOW_CASES", "GAIAFLOW_ORIGINAL", "GAIAFLOW_SEED", "GAIAFLOW_SHRINK", "GAIAFLOW_TEST_")


def clean() -> None:
    """Remove them from this process, and so from all that it starts."""
    for name in list(os.environ):
        if name.startswith(FOREIGN) and not name.startswith(OURS):
            del os.environ[name]
    # A proxy is for what is elsewhere.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1,localhost"]))
