"""What a person's shell has for other projects must not decide a test.

Docker's variables stay: they say which engine this person uses.
"""

from __future__ import annotations

import os

from gaiaflow.project import inherited

# Besides what the managers leave out.
FOREIGN = ("COPIER_", "GAIAFLOW_", "KUBE", "MINIO_", "OTEL_", "S3_", "SQLALCHEMY_")
# Options of the tests themselves.
OURS = ("GAIAFLOW_CASES", "GAIAFLOW_ORIGINAL", "GAIAFLOW_SEED", "GAIAFLOW_SHRINK", "GAIAFLOW_TEST_")


def foreign() -> set[str]:
    """The names of variables that are meant for others."""
    found = {name for name in os.environ if name.startswith(FOREIGN)}
    return {name for name in found if not name.startswith(OURS)} | {*inherited.left_out(os.environ)}


def direct() -> dict[str, str]:
    """Variables that keep a proxy away from this machine's own servers."""
    names = ("NO_PROXY", "no_proxy")
    local = "127.0.0.1,localhost"
    return {name: ",".join(filter(None, [os.environ.get(name), local])) for name in names}


def clean() -> None:
    """Do so for this process, and so for all that it starts. Python's say how this run runs."""
    for name in foreign():
        if not name.startswith("PYTHON"):
            del os.environ[name]
    os.environ.update(direct())
