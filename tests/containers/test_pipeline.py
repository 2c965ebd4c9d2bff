"""From a start to a green run and its products; the same commands as for processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import docker
import pytest

from .conftest import SERVICES, Project, containers_of, exec_in, states

STAGES = ["ingest", "validate", "features", "train", "evaluate", "register", "map"]


def test_all_services_are_healthy(containers: Project) -> None:
    found = containers.manage("status", "--json").json()
    assert {item["service"]: item["state"] for item in found} == dict.fromkeys(SERVICES, "healthy")
    for item in found:
        assert set(item) == {"service", "state", "url", "pid", "container"}
        assert item["pid"] is None
        assert item["container"].startswith(containers.env["COMPOSE_PROJECT_NAME"])
    pages = {item["service"]: item["url"] for item in found if item["url"]}
    assert pages == {
        "airflow-api-server": containers.url("AIRFLOW_PORT") + "/",
        "mlflow": containers.url("MLFLOW_PORT") + "/",
        "object-store": containers.url("OBJECT_STORE_PORT") + "/",
        "jupyterlab": containers.url("JUPYTER_PORT") + "/lab",
    }


def test_start_when_all_is_up_changes_nothing(
    containers: Project, engine: docker.DockerClient
) -> None:
    before = {name: found.id for name, found in containers_of(engine, containers).items()}
    done = containers.manage("start")
    assert done.code == 0, done
    assert "as containers" in done.err  # it is the backend of the last time
    assert {name: found.id for name, found in containers_of(engine, containers).items()} == before


def test_every_task_is_green(run: Any) -> None:
    assert run["state"] == "success"
    assert {task["task_id"]: task["state"] for task in run["tasks"]} == dict.fromkeys(
        STAGES, "success"
    )
    assert {task["try_number"] for task in run["tasks"]} == {1}


def test_products_are_in_the_object_store(environment: Project, run: Any) -> None:
    found = environment.probe("products", "landcover/", "products/landcover/")
    assert {key.rpartition("/")[2] for key in found} == {
        *("scene.tif", "samples.parquet", "features.parquet", "landcover.tif", "landcover.png"),
        *("collection.json", "sample-landcover-v1.json", "landcover-v1.json", "sample.parquet"),
    }


def test_gdal_finds_the_object_store_where_tasks_run(
    containers: Project, engine: docker.DockerClient
) -> None:
    code = (
        "import os, affine, boto3, numpy as np; from gaiaflow.rasters import read, write_cog;"
        "bucket = os.environ['S3_BUCKET'];"
        "cog = write_cog(np.ones((1, 2, 2), 'uint8'), None, affine.Affine.scale(2), 0);"
        "boto3.client('s3').put_object(Bucket=bucket, Key='probe.tif', Body=cog);"
        "print(read(f's3://{bucket}/probe.tif').values.sum())"
    )
    scheduler = containers_of(engine, containers)["airflow-scheduler"]
    ended, said = exec_in(scheduler, "/opt/env/venv/bin/python", "-c", code)
    assert ended == 0 and "4.0" in said.split(), said


def test_mlflow_holds_the_run_and_the_model(environment: Project, run: Any) -> None:
    tracked = environment.probe("tracking")
    [found] = tracked["runs"]
    assert found["metrics"]["accuracy"] > 0.85
    assert found["artifacts"]["landcover.png"] > 50_000
    assert tracked["champion"] == 1
    assert environment.probe("predict") == ["Water", "Vegetation"]
    found = environment.manage("lineage", "landcover", "--json").json()
    training = found["model"]["training"]
    assert training["dag_run"]["run_id"] == run["run_id"]
    # Tasks of mode `dev` run in no image of the project, and without git.
    assert len(training["code"]["commit"]) == 40
    assert (training["code"]["dirty"], training["code"]["image"]) == (None, None)
    assert found["uses"]["products"] == ["sample-landcover-v1"]


def test_files_go_into_the_store_and_out_of_it(
    containers: Project, run: Any, tmp_path: Path
) -> None:
    listed = containers.manage("ls", "products/", "--json").json()
    [map_] = [entry for entry in listed if entry["key"].endswith("/landcover.tif")]
    file, back = tmp_path / "map.tif", tmp_path / "back.tif"
    assert containers.manage("get", map_["key"], str(file)).code == 0
    assert file.stat().st_size == map_["size"]
    assert containers.manage("put", str(file), "copies/").code == 0
    assert containers.manage("get", "copies/map.tif", str(back)).code == 0
    assert back.read_bytes() == file.read_bytes()


def test_a_failing_task_shows_its_log(containers: Project) -> None:
    done = containers.manage("run", "landcover", "--conf", '{"scene": "none.tif"}')
    assert done.code == 1
    assert "log of ingest" in done.err
    assert "landcover failed" in done.err


def test_a_dag_that_does_not_import_is_named_by_its_place_here(containers: Project) -> None:
    broken = containers.root / "dags" / "broken_here.py"
    broken.write_text(
        "from airflow.sdk import DAG\nfrom gaiaflow import create_tsk\n", encoding="utf-8"
    )
    try:
        done = containers.manage("run", "broken_here")
    finally:
        broken.unlink()
    assert done.code == 1
    assert "dags/broken_here.py, line 2: ImportError" in done.err


@pytest.mark.slow
def test_a_changed_function_runs_at_once(containers: Project) -> None:
    """The project's code is mounted: a change needs no build and no restart."""
    file = containers.root / "forest_watch" / "dataloader" / "change_me.py"
    before = file.read_text(encoding="utf-8")
    file.write_text(before + '\nraise RuntimeError("changed just now")\n', encoding="utf-8")
    try:
        done = containers.manage("run", "change_me")
    finally:
        file.write_text(before, encoding="utf-8")
    assert done.code == 1
    assert "changed just now" in done.err


def test_logs(containers: Project) -> None:
    for service in ("airflow-dag-processor", "postgres"):
        done = containers.manage("logs", service)
        assert done.code == 0
        assert done.out.strip()


@pytest.mark.slow
def test_data_are_kept_over_down_and_up(environment: Project, run: Any) -> None:
    before = environment.probe("tracking"), environment.probe("products")
    stopped = environment.manage("stop")
    assert stopped.code == 0, stopped
    assert set(states(environment).values()) == {"stopped"}
    started = environment.manage("start", "--backend", "compose")
    assert started.code == 0, started
    assert (environment.probe("tracking"), environment.probe("products")) == before
