"""The land-cover pipeline, from a run to its products."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from benchmarks.airflow_api import AirflowApi
from tests.promotion.servers import running

from .conftest import Project, execute, wait_for

BANDS = ["B02", "B03", "B04", "B08"]
COMMON_NAMES = ["blue", "green", "red", "nir"]
STAGES = ["ingest", "validate", "features", "train", "evaluate", "register", "map"]


@pytest.fixture(scope="module")
def run(stack: Project) -> Iterator[Any]:
    """A green run of code that is committed."""
    exclude = stack.root / ".git" / "info" / "exclude"
    before = exclude.read_text(encoding="utf-8")
    # The first start has made it, for a person to commit; tests/stack/test_fresh_clone.py needs
    # that nobody has.
    exclude.write_text(f"{before}/uv.lock\n", encoding="utf-8")
    yield stack.manage("run", "landcover", "--json").json()
    exclude.write_text(before, encoding="utf-8")


@pytest.fixture(scope="module")
def head(stack: Project) -> str:
    """The commit of the project."""
    return execute("git", "rev-parse", "HEAD", cwd=stack.root).out.strip()


def test_every_task_is_green(run: Any) -> None:
    assert run["state"] == "success"
    assert {task["task_id"]: task["state"] for task in run["tasks"]} == dict.fromkeys(
        STAGES, "success"
    )
    assert {task["try_number"] for task in run["tasks"]} == {1}
    assert run["url"].endswith(f"/dags/landcover/runs/{run['run_id']}")


@pytest.fixture(scope="module")
def products(stack: Project, run: Any) -> dict[str, Any]:
    """What the run has stored: file name -> its description."""
    objects = stack.probe("products", "landcover/", "products/landcover/")
    assert len({key.rpartition("/")[0] for key in objects if key.startswith("landcover/")}) == 1
    return {key.rpartition("/")[2]: found for key, found in objects.items()}


def test_products(products: dict[str, Any]) -> None:
    assert set(products) == {
        *("scene.tif", "samples.parquet", "features.parquet", "landcover.tif", "landcover.png"),
        *("collection.json", "sample-landcover-v1.json", "landcover-v1.json", "sample.parquet"),
    }


def test_the_scene(products: dict[str, Any]) -> None:
    scene = products["scene.tif"]
    assert (scene["layout"], scene["shape"], scene["dtype"]) == ("COG", [300, 300], "int16")
    assert scene["descriptions"] == BANDS
    assert scene["nodata"] == "-32768.0"


def test_the_features(products: dict[str, Any]) -> None:
    features = products["features.parquet"]
    assert features["rows"] == products["samples.parquet"]["rows"] == 120
    assert set(features["columns"]) > {*BANDS, "NDVI", "class", "split"}


def test_the_map_is_a_stac_item(run: Any, head: str, products: dict[str, Any]) -> None:
    item = products["sample-landcover-v1.json"]["json"]
    [band] = item["assets"]["map"]["bands"]
    shares = {entry["title"]: entry["percentage"] for entry in band["classification:classes"]}
    assert sum(shares.values()) == pytest.approx(100, abs=0.01)
    assert item["properties"]["gaiaflow:model"] == "models:/landcover/1"
    assert item["properties"]["processing:software"]["commit"] == head
    assert item["properties"]["gaiaflow:dirty"] is False
    assert item["properties"]["gaiaflow:dag_run_id"] == run["run_id"]
    assert item["geometry"] is None and item["properties"]["proj:shape"] == [300, 300]
    assert [band["eo:common_name"] for band in item["assets"]["scene"]["bands"]] == COMMON_NAMES
    [link] = products["collection.json"]["json"]["links"]
    assert link == {
        "rel": "item",
        "href": "./items/sample-landcover-v1.json",
        "type": "application/geo+json",
    }


def test_the_map_lies_on_the_scene(products: dict[str, Any]) -> None:
    scene, land_cover = products["scene.tif"], products["landcover.tif"]
    for name in ("shape", "transform", "crs"):
        assert land_cover[name] == scene[name], name
    assert land_cover["crs"]
    assert (land_cover["layout"], land_cover["dtype"]) == ("COG", "uint8")
    assert land_cover["nodata"] == "0.0"
    classes = json.loads(land_cover["tags"]["classes"])
    assert set(map(str, land_cover["values"])) <= set(classes)
    assert len(land_cover["values"]) > 1
    assert land_cover["tags"]["model"].startswith("models:/landcover/")


def test_the_picture(products: dict[str, Any]) -> None:
    height, width, _ = products["landcover.png"]["shape"]
    assert 1.2 < width / height < 3  # two squares side by side
    assert width >= 800
    assert products["landcover.png"]["size"] > 50_000  # not blank


@pytest.fixture(scope="module")
def tracked(stack: Project, run: Any) -> Any:
    return stack.probe("tracking")


def test_mlflow_holds_the_run(tracked: Any) -> None:
    [found] = tracked["runs"]
    assert float(found["params"]["logistic__C"]) > 0
    assert {"samples", "features", "folds"} <= set(found["params"])
    assert {"accuracy", "f1_macro", "cv_accuracy", "recall_water"} <= set(found["metrics"])
    assert found["metrics"]["accuracy"] > 0.85
    assert found["artifacts"]["confusion_matrix.png"] > 5_000
    assert found["artifacts"]["landcover.png"] > 50_000


def test_mlflow_knows_where_a_run_comes_from(
    stack: Project, tracked: Any, run: Any, head: str
) -> None:
    [found] = tracked["runs"]
    tags = found["tags"]
    assert tags["mlflow.source.name"] == "forest_watch.train.train:train"
    assert tags["mlflow.user"] == stack.env["MLFLOW_TRACKING_USERNAME"]
    assert (tags["airflow.dag_id"], tags["airflow.run_id"]) == ("landcover", run["run_id"])
    assert (tags["airflow.task_id"], tags["airflow.try_number"]) == ("train", "1")
    assert (tags["mlflow.source.git.commit"], tags["mlflow.source.git.dirty"]) == (head, "false")
    assert tracked["kind"] == "custom_model_development"


def test_the_registry_holds_the_model(tracked: Any) -> None:
    assert [found["version"] for found in tracked["versions"]] == [1]
    assert tracked["champion"] == 1
    assert tracked["inputs"] == tracked["example"] == BANDS
    assert tracked["outputs"][0]["type"] == "string"


def test_the_lineage_of_the_champion(stack: Project, run: Any, head: str) -> None:
    found = stack.manage("lineage", "landcover", "--json").json()
    training = found["model"]["training"]
    code, [data] = training["code"], training["data"]
    assert (found["model"]["uri"], found["model"]["aliases"]) == (
        "models:/landcover/1",
        ["champion"],
    )
    assert (code["commit"], code["dirty"], code["image"]) == (head, False, None)
    assert code["gaiaflow"] == stack.manage("--version").out.split()[-1]
    assert training["dag_run"] == {
        **{name: run[name] for name in ("dag_id", "run_id", "url", "state")},
        "task_id": "train",
    }
    assert (data["name"], data["context"]) == ("features", "training")
    assert len(data["digest"]) == 8
    assert data["source"].startswith("s3://") and data["source"].endswith("/features.parquet")
    assert training["metrics"]["accuracy"] > 0.85 and training["parameters"]["features"]
    assert found["uses"]["products"] == ["sample-landcover-v1"]


def test_the_lineage_of_its_map(
    stack: Project, run: Any, head: str, products: dict[str, Any]
) -> None:
    key = "products/landcover/sample-landcover-v1/landcover.tif"
    found = stack.manage("lineage", key, "--json").json()
    assert found["product"]["dag_run"]["run_id"] == run["run_id"]
    assert found["product"]["code"]["commit"] == head
    assert found["product"]["derived_from"] == ["products/landcover/models/landcover-v1.json"]
    described = products["landcover-v1.json"]["json"]["properties"]
    training = found["model"]["training"]
    assert training["run_id"] == described["gaiaflow:mlflow_run_id"]
    shown = stack.manage("lineage", "sample-landcover-v1").out
    for words in (head, training["url"], run["url"], training["data"][0]["digest"]):
        assert words in shown


def test_the_model_gets_to_production(stack: Project, run: Any, tmp_path: Path) -> None:
    """By the commands that a person types, to a second MLflow; more of it in tests/promotion."""
    with running(tmp_path / "prod", "prod", stack.python) as prod:
        prod.wait()
        settings = {f"PROD_{name}": value for name, value in prod.env.items()}
        promote = ("promote", "landcover", "1", "--to", "prod")
        done = stack.manage(*promote, "--json", **settings)
        assert done.json()["target"] == {"stage": "prod", "registry": prod.url, "version": 1}
        assert done.json()["created"] and done.json()["champion"] is None
        again = stack.manage(*promote, **settings)
        assert (again.code, again.out) == (0, "")
        assert "It is version 1 of landcover in prod already." in again.err
        used = stack.manage("promote", "landcover", "1", "--in", "prod", **settings)
        [there] = stack.manage("models", "--in", "prod", "--json", **settings).json()
        found = stack.manage("lineage", "landcover", "--in", "prod", "--json", **settings).json()
        said = [done, again, used]
    assert there["aliases"] == ["champion"] and there["metrics"]["accuracy"] > 0.85
    origin = found["model"]["promoted"]["origin"]
    assert origin["training"]["dag_run"]["run_id"] == run["run_id"]
    assert origin["training"]["code"] == found["model"]["training"]["code"]
    assert prod.password not in "".join(each.out + each.err for each in said) + json.dumps(there)


def test_the_map_can_be_taken_out(stack: Project, run: Any, tmp_path: Path) -> None:
    keys = [entry["key"] for entry in stack.manage("ls", "products/", "--json").json()]
    [key] = [key for key in keys if key.endswith("/landcover.tif")]
    file = tmp_path / "map.tif"
    done = stack.manage("get", key, str(file))
    assert (done.code, done.out) == (0, f"{file}\n")
    # And as docs/how-to/results.md has it for QGIS, whose GDAL reads it in the store.
    assert stack.probe("gdal", key, str(file)) == {"same": True}


def test_the_model_predicts_anywhere(stack: Project, run: Any, tmp_path: Path) -> None:
    assert stack.probe("predict", cwd=tmp_path) == ["Water", "Vegetation"]


@pytest.mark.slow
def test_a_second_run_makes_a_second_version(stack: Project, tracked: Any) -> None:
    assert stack.manage("run", "landcover").code == 0
    again = stack.probe("tracking")
    assert len(again["runs"]) == len(tracked["runs"]) + 1
    assert {found["version"] for found in again["versions"]} == {1, 2}
    assert again["champion"] == 2  # not worse than the first


def test_the_skeleton_runs_as_it_is(stack: Project, run: Any, head: str) -> None:
    note = stack.root / "note.txt"
    note.write_text("not committed", encoding="utf-8")
    try:
        done = stack.manage("run", "change_me")
    finally:
        note.unlink()
    assert done.code == 0, done
    assert "change_me is green after" in done.out
    tags = stack.probe("tags", "change_me")
    assert (tags["mlflow.source.git.commit"], tags["mlflow.source.git.dirty"]) == (head, "true")


@pytest.mark.slow
def test_a_run_waits_for_a_locked_database(stack: Project) -> None:
    """SQLite lets one writer in: with two `run` at the same moment, Airflow refuses one."""
    log = stack.root / ".gaiaflow" / "logs" / "airflow-api-server.log"
    refusals = log.read_text().count("Error with id")
    database = sqlite3.connect(stack.root / ".gaiaflow" / "data" / "airflow.db", timeout=30)
    with contextlib.closing(database), stack.in_background("run", "change_me") as manager:
        database.execute("BEGIN IMMEDIATE")
        wait_for(lambda: log.read_text().count("Error with id") > refusals)
        database.rollback()
        assert manager.wait(120) == 0


@pytest.mark.parametrize("name", ["tour.ipynb", "change_me.ipynb"])
def test_a_notebook_runs_from_top_to_bottom(stack: Project, run: Any, name: str) -> None:
    before = (stack.root / "notebooks" / name).read_bytes()
    assert stack.probe("notebook", name) > 2
    assert (stack.root / "notebooks" / name).read_bytes() == before


@pytest.mark.slow
def test_the_pipeline_in_yaml_gives_the_same(stack: Project, run: Any) -> None:
    other = stack.manage("run", "landcover_yaml", "--json").json()
    assert other["state"] == "success"
    assert [task["task_id"] for task in other["tasks"]] == [
        task["task_id"] for task in run["tasks"]
    ]
    assert metrics(stack, other) == metrics(stack, run)


def metrics(stack: Project, run: Any) -> Any:
    """What `evaluate` has returned of the model's quality."""
    api = AirflowApi(stack.root)
    path = f"/dags/{run['dag_id']}/dagRuns/{quote(run['run_id'], safe='')}/taskInstances/evaluate"
    value = api.get(f"{path}/xcomEntries/return_value?stringify=false")["value"]
    return value["metrics"]
