"""Load a project's DAG files, and the functions that they call, for its tests.

Airflow has a separate environment, so its interpreter loads the files. Standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gaiaflow.project import variables
from gaiaflow.project.paths import ROOT, StateFolder
from gaiaflow.runner import load as load_function

__all__ = ["has_airflow", "load_dags", "load_function"]


def has_airflow() -> bool:
    """Whether Airflow's environment exists: the first `mlops_manager.py start` creates it."""
    return StateFolder(ROOT).airflow_python.exists()


def load_dags(files: Sequence[Path]) -> dict[str, Any]:
    """Load DAG files in Airflow's environment.

    Returns:
        {"dags": {ID: [{"file": FILE, "tasks": {ID: {"function": "package.module:function" or None,
        "arguments": [NAME, ...], "owner": NAME, "retries": NUMBER}}}]}, "problems": {FILE: TEXT}}.
        A DAG id that is used twice has two entries.

    Raises:
        RuntimeError: Airflow can't run; the message contains its output.
    """
    python = StateFolder(ROOT).airflow_python
    command = [str(python), "-m", "gaiaflow.dag_report", *map(str, files)]
    with tempfile.TemporaryDirectory() as home:
        env = {
            **os.environ,
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            variables.MODE: "dev",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(done.stderr)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report
