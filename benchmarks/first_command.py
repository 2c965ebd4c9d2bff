"""README's first command: from nothing but Python, git and warm caches to a green pipeline."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass

from plumbum import ProcessExecutionError, local

from benchmarks.common import CannotMeasure, Goal, Row, say, seconds
from benchmarks.workshop import Workshop

# Each part ends when the next one's line appears, in the output of `copier copy`.
PARTS = (
    ("copier copy: the files", re.compile(r"Making Airflow's environment")),
    ("copier copy: Airflow's environment", re.compile(r"^(environment|airflow-init|mlflow): ")),
)
