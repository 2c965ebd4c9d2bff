"""The DAGs that a file is defining. Airflow tells only in a private module, used here alone."""

from __future__ import annotations

import runpy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import DAG


def current() -> DAG | None:
    """The DAG whose `with` block is being run."""
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    return DagContext.get_current()


def defined_by(file: str) -> list[DAG]:
    """Run a file and return its DAGs, as Airflow finds them: by a name, or by a `with` block."""
    from airflow.sdk import DAG
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    DagContext.autoregistered_dags.clear()
    DagContext.current_autoregister_module_name = __name__
    try:
        named = [value for value in runpy.run_path(file).values() if isinstance(value, DAG)]
        unnamed = [dag for dag, _ in DagContext.autoregistered_dags]
    finally:
        DagContext.current_autoregister_module_name = None
    return list({id(dag): dag for dag in (*named, *unnamed)}.values())
