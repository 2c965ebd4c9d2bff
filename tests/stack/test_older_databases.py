"""A newer Airflow or MLflow in the locks takes over the databases that older ones left."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.airflow_api import AirflowApi

from . import older
from .conftest import Generate, free_block


@pytest.mark.slow
def test_databases_of_older_releases(generate: Generate, uv: str, tmp_path: Path) -> None:
    project, _ = generate("Alte Daten", package_name="forest_watch")
    project.set_ports(free_block())
    made = tmp_path / "airflow.db", tmp_path / "mlflow.db"
    older.fill_airflow(uv, tmp_path, f"sqlite:///{made[0]}", project.env)
    older.fill_mlflow(uv, tmp_path, f"sqlite:///{made[1]}")
    data = project.root / ".gaiaflow" / "data"
    data.mkdir(parents=True)
    for database in made:
        shutil.copy(database, data)

    started = project.manage("start")
    assert started.code == 0, started
    assert AirflowApi(project.root).get("/variables/older")["value"] == "is kept"
    assert project.probe("registered") == ["of an older MLflow"]
    for database in made:
        assert list(data.glob(f"{database.name}.before-upgrade-*"))
    done = project.manage("run", "change_me")
    assert done.code == 0, done
    assert project.manage("stop").code == 0
