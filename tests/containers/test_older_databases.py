"""The same in PostgreSQL as in tests/stack/test_older_databases.py for SQLite."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from benchmarks.airflow_api import AirflowApi
from tests.stack import older

from .conftest import Project, Start, containers_of


@pytest.mark.slow
def test_databases_of_older_releases(
    new_project: Start, engine: docker.DockerClient, uv: str, tmp_path: Path
) -> None:
    project: Project = new_project("Older", package_name="forest_watch")
    started = project.manage("start", "--backend", "compose", "--service", "postgres")
    assert started.code == 0, started
    [network] = (
        containers_of(engine, project)["postgres"].attrs["NetworkSettings"]["Networks"].values()
    )
    host, env = network["IPAddress"], project.env
    address = "postgresql+psycopg2://{0}:{1}@{2}/{0}".format
    password = env["AIRFLOW_DATABASE_PASSWORD"]
    older.fill_airflow(uv, tmp_path, address("airflow", password, host), env)
    older.fill_mlflow(uv, tmp_path, address("mlflow", env["MLFLOW_DATABASE_PASSWORD"], host))

    started = project.manage("start", "--backend", "compose")
    assert started.code == 0, started
    assert AirflowApi(project.root).get("/variables/older")["value"] == "is kept"
    assert project.manage("deps").code == 0
    assert project.probe("registered") == ["of an older MLflow"]
    done = project.manage("run", "change_me")
    assert done.code == 0, done
