"""Gaiaflow, the framework beneath this project. `copier update` refreshes it: edit elsewhere.

What a project uses is here; everything else in this folder serves `mlops_manager.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaiaflow.settings import connect
    from gaiaflow.tasks import create_task

__version__ = "0.2.0"

__all__ = ["__version__", "connect", "create_task"]


def __getattr__(name: str) -> Any:
    # Both on demand: create_task needs Airflow, which a notebook does not have.
    if name == "create_task":
        from gaiaflow.tasks import create_task

        return create_task
    if name == "connect":
        from gaiaflow.settings import connect

        return connect
    raise AttributeError(f"module 'gaiaflow' has no attribute {name!r}")
