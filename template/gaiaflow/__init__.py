"""Gaiaflow, this project's framework. Updates change it: put your own code elsewhere.

A project uses the names below; everything else in this folder serves `mlops_manager.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaiaflow.operators.create_task import create_task
    from gaiaflow.operators.yaml_dags import load_yaml_pipelines
    from gaiaflow.project.clients import connect

__version__ = "0.9.0"

__all__ = ["__version__", "connect", "create_task", "load_yaml_pipelines"]


def __getattr__(name: str) -> Any:
    # On demand: most of it needs Airflow, which notebooks lack.
    if name == "create_task":
        from gaiaflow.operators.create_task import create_task

        return create_task
    if name == "connect":
        from gaiaflow.project.clients import connect

        return connect
    if name == "load_yaml_pipelines":
        from gaiaflow.operators.yaml_dags import load_yaml_pipelines

        return load_yaml_pipelines
    raise AttributeError(f"module 'gaiaflow' has no attribute {name!r}")
