"""Databases as releases of Airflow and MLflow made them that are older than those in our locks."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from .conftest import execute, person

AIRFLOW = ("apache-airflow==3.1.8", "apache-airflow-core==3.1.8", "asyncpg", "psycopg2-binary")
MLFLOW = ("mlflow==3.10.1", "psycopg2-binary")

_REGISTER = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
mlflow.MlflowClient().create_registered_model("of an older MLflow")
"""


def install(uv: str, folder: Path, packages: tuple[str, ...]) -> Path:
    """The Python of an environment with these packages; skips where they can't be installed."""
    python = folder / "bin" / "python"
    made = execute(uv, "venv", "--quiet", "--python", sys.executable, folder, cwd=folder.parent)
    assert made.code == 0, made
    command = ("pip", "install", "--quiet", "--python", python)
    done = execute(uv, *command, *packages, cwd=folder.parent)
    if done.code:
        pytest.skip(f"{packages[0]} can't be installed any more: {done.err[-300:]}")
    return python


def fill_airflow(uv: str, folder: Path, address: str, settings: Mapping[str, str]) -> None:
    """Create Airflow's database of that time, with a variable, encrypted by the project's key."""
    airflow = install(uv, folder / "airflow", AIRFLOW).with_name("airflow")
    env = person(
        AIRFLOW_HOME=str(folder / "home"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__FERNET_KEY=settings["AIRFLOW_FERNET_KEY"],
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=address,
    )
    for command in (["db", "migrate"], ["variables", "set", "older", "is kept"]):
        done = execute(airflow, *command, cwd=folder, env=env)
        assert done.code == 0, done


def fill_mlflow(uv: str, folder: Path, address: str) -> None:
    """Create MLflow's database of that time, with a registered model."""
    python = install(uv, folder / "mlflow", MLFLOW)
    done = execute(python, "-c", _REGISTER, address, cwd=folder)
    assert done.code == 0, done
