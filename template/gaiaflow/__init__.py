"""Gaiaflow, the framework beneath this project. `copier update` refreshes it: edit elsewhere.

What a project uses is here; everything else in this folder serves `mlops_manager.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaiaflow.settings import connect
    from gaiaflow.tasks import create_task
    from gaiaflow.yaml_pipelines import load_yaml_pipelines

__version__ = "0.4.1"

__all__ = ["__version__", "connect", "create_task", "load_yaml_pipelines"]


def __getattr__(name: str) -> Any:
    # On demand: most of it needs Airflow, which a notebook does not have.
    if name == "create_task":
        from gaiaflow.tasks import create_task

        return create_task
    if name == "connect":
        from gaiaflow.settings import connect

        return connect
    if name == "load_yaml_pipelines":
        from gaiaflow.yaml_pipelines import load_yaml_pipelines

        return load_yaml_pipelines
    raise AttributeError(f"module 'gaiaflow' has no attribute {name!r}")
