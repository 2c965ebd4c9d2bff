"""Hints for DAG files that import missing modules.

Standard library only.
"""

from __future__ import annotations

import re
from pathlib import Path


def hint(root: Path, message: str) -> str:
    """Where to put an import that Airflow's environment lacks; empty if there is another cause."""
    missing = re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", message)
    if not missing:
        return ""
    module = missing[1].partition(".")[0]
    if (root / module).exists() or (root / f"{module}.py").exists():
        return ""  # a part of the project is missing or misspelt
    return (
        f"DAG files run in Airflow's environment, and {module} is not in it.\n"
        "Import it inside the function of your package that the task calls: "
        "that runs in the project's environment."
    )
