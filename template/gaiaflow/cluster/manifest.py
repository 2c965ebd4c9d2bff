"""The manifest of a task's pod, made by the framework of the release that is examined."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plumbum import local

from gaiaflow.project import variables
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.release import running

Json = dict[str, Any]

_MODULE = Path("gaiaflow", "operators", "probe_pod.py")
# Variables of Airflow that decide what tasks get.
_USED = ("GAIAFLOW_", "AWS_", "MLFLOW_", "S3_BUCKET", "MAPS_URL")


def is_known(folder: Path) -> bool:
    """Whether the framework in a folder can make the manifest, and its image has the probe."""
    return (folder / _MODULE).is_file()


def build(folder: Path, namespace: str, settings: Mapping[str, str]) -> Json:
    """Make the manifest as Airflow would make that of a task.

    Args:
        folder: the release's files.
        namespace: where the pod goes.
        settings: Airflow's environment variables in the cluster.

    Raises:
        GaiaflowError: the release's settings are invalid; the message says which.
    """
    known = {name: value for name, value in settings.items() if name.startswith(_USED)}
    with tempfile.TemporaryDirectory() as home:
        env = {
            **known,
            variables.MODE: "prod",
            variables.NAMESPACE: namespace,
            "AIRFLOW_HOME": home,
            "PYTHONPATH": str(folder),
        }
        python = local[sys.executable]["-m", ".".join(_MODULE.with_suffix("").parts)]
        done = running.run(python.with_env(**env).with_cwd(folder))
    if done.code:
        said = done.err.strip() or done.out.strip() or f"exit code {done.code}"
        raise GaiaflowError(said.splitlines()[-1])
    return dict(json.loads(done.out.splitlines()[-1]))
