"""Lineage: what is meant, what is read from tags, items and names, and how it is shown."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from rich.console import Console

from gaiaflow.cli.lineage import tree
from gaiaflow.lineage import finding, models
from gaiaflow.lineage.finding import Finder
from gaiaflow.lineage.things import Code, Lineage
from gaiaflow.mlflow_client import Registry, Version
from gaiaflow.objects import Object
from gaiaflow.project import request_files
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.tracking import Server

from .commands import manage

COMMIT = "c" * 40
TAGS = {
    "airflow.dag_id": "landcover",
    "airflow.run_id": "manual__1",
    "airflow.task_id": "train",
    "mlflow.source.name": "forest_watch.train.train:train",
    "mlflow.source.git.commit": COMMIT,
    "mlflow.source.git.dirty": "true",
    "mlflow.docker.image.uri": "forest-watch:0.1.0",
    "mlflow.docker.image.id": "sha256:abc",
    "gaiaflow.version": "0.7.1",
}
DATASET = {
    "tags": [{"key": "mlflow.data.context", "value": "training"}],
    "dataset": {
        "name": "features",
        "digest": "1234abcd",
        "source_type": "s3",
        "source": '{"uri": "s3://gaiaflow/landcover/1/features.parquet"}',
    },
}
ITEM = {
    "id": "sample-landcover-v2",
    "properties": {
        "created": "2026-11-27T10:00:00Z",
        "gaiaflow:model": "models:/landcover/2",
        "gaiaflow:dag_id": "landcover",
        "gaiaflow:dag_run_id": "manual__1",
        "gaiaflow:dirty": False,
        "processing:software": {"gaiaflow": "0.7.1", "commit": COMMIT},
    },
    "assets": {"map": {"href": "../sample-landcover-v2/landcover.tif"}},
    "links": [{"rel": "derived_from", "href": "../models/landcover-v2.json"}],
}
KEY = "products/landcover/items/sample-landcover-v2.json"
OLD = "products/landcover/items/old.json"
# As a release without tags made it.
OLD_ITEM = {
    "id": "old",
    "properties": {"gaiaflow:model": "models:/landcover/1"},
    "assets": {},
}


def pairs(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def version(number: int, run_id: str, registered: int, **tags: str) -> dict[str, Any]:
    return {
        "version": str(number),
        "creation_timestamp": registered * 1000,
        "run_id": run_id,
        "tags": pairs(tags),
    }


NOON = int(datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp())


def mlflow(request: httpx.Request) -> httpx.Response:
    """Answers as MLflow does."""
    runs = {
        "new": {
            "info": {"run_name": "landcover", "experiment_id": "1"},
            "data": {
                "tags": pairs(TAGS),
                "params": pairs({"logistic__C": "1.0"}),
                "metrics": pairs({"accuracy": 0.93, "recall_water": 1.0}),
            },
            "inputs": {"dataset_inputs": [DATASET]},
        },
        "old": {"info": {"run_name": "landcover", "experiment_id": "1"}},
    }
    path = request.url.path.removeprefix("/api/2.0/mlflow/")
    if path == "registered-models/search":
        aliases = [{"alias": "champion", "version": "2"}]
        return httpx.Response(
            200, json={"registered_models": [{"name": "landcover", "aliases": aliases}]}
        )
    if path == "registered-models/get":
        return httpx.Response(200, json={"registered_model": {"name": "landcover"}})
    if path == "model-versions/search":
        found = [
            version(1, "old", NOON, champion_since="2026-11-27T12:00:01+00:00"),
            version(2, "new", NOON + 60, champion_since="2026-11-27T12:01:01+00:00"),
            version(3, "gone", NOON + 120),
        ]
        return httpx.Response(200, json={"model_versions": found})
    assert path == "runs/get"
    run = runs.get(request.url.params["run_id"])
    return httpx.Response(200, json={"run": run}) if run else httpx.Response(404, json={})


class Store:
    """A bucket in memory."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.content = objects

    def key(self, text: str) -> str:
        return text.removeprefix("s3://gaiaflow/")

    def objects(self, prefix: str) -> list[Object]:
        now = datetime.now(UTC)
        return [Object(key, 1, now) for key in self.content if key.startswith(prefix)]

    def read(self, key: str) -> bytes | None:
        return self.content.get(key)


LOG = request_files.new_key("landcover", "2", 12, datetime(2026, 11, 27, 13, tzinfo=UTC))


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch) -> Finder:
    settings = {"MLFLOW_TRACKING_USERNAME": "a", "MLFLOW_TRACKING_PASSWORD": "b"}
    settings |= {"AIRFLOW_USER": "a", "AIRFLOW_PASSWORD": "b"}
    project: Any = SimpleNamespace(env=settings, url=lambda _: "http://127.0.0.1:1")
    store = Store(
        {
            KEY: json.dumps(ITEM).encode(),
            OLD: json.dumps(OLD_ITEM).encode(),
            "products/landcover/items/broken.json": b"{",
            "products/landcover/collection.json": b"{}",
            LOG: b"PAR1 Anna \nAnna-7\n" + (8).to_bytes(4, "little") + b"PAR1",
            "serving/landcover/2026-11-26/120000-abcd.parquet": b"",
            "serving/landcover/labels/mine.csv": b"",
        }
    )
    monkeypatch.setattr(finding, "Bucket", lambda _: store)
    found = Finder(project, lambda _: None)
    registry: Registry = found._registry
    registry._client = httpx.Client(
        base_url=registry.url, transport=httpx.MockTransport(mlflow), trust_env=False
    )
    return found


def shown(found: Lineage) -> str:
    console = Console(width=300, file=io.StringIO())
    console.print(tree(found))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    "thing", ["landcover", "landcover/2", "landcover@champion", "models:/landcover/2"]
)
def test_a_model(finder: Finder, thing: str) -> None:
    found = finder.find(thing)
    assert found.model and found.model.training and found.uses
    assert (found.kind, found.model.uri) == ("model", "models:/landcover/2")
    assert found.model.training.code == Code(
        COMMIT,
        True,
        "0.7.1",
        "forest_watch.train.train:train",
        "forest-watch:0.1.0",
        "sha256:abc",
    )
    [data] = found.model.training.data
    assert dataclasses.astuple(data) == (
        *("features", "1234abcd", "s3://gaiaflow/landcover/1/features.parquet", "training"),
    )
    assert found.uses.products == ("sample-landcover-v2",)
    assert found.uses.answers == {"2026-11-27": 12}
    assert found.uses.unnamed_files == 1
    assert found.uses.challengers == (3,)
    text = shown(found)
    for words in (
        "models:/landcover/2 (champion), registered",
        "http://127.0.0.1:1/#/experiments/1/runs/new",
        "landcover, manual__1  http://127.0.0.1:1/dags/landcover/runs/manual__1",
        f"commit  {COMMIT}, with uncommitted changes",
        "image  forest-watch:0.1.0 sha256:abc",
        "data  features, digest 1234abcd, for training: s3://gaiaflow/",
        "parameters  logistic__C 1.0",
        "metrics  accuracy 0.93",
        "answers  12 logged requests, 2026-11-27",
    ):
        assert words in text


def test_an_older_model_has_unknown_parts(finder: Finder) -> None:
    found = finder.find("landcover/1")
    assert found.model and found.model.training
    assert found.model.training.code == Code()
    assert found.uses and found.uses.challengers == (2,)
    text = shown(found)
    assert "DAG run  unknown" in text and "made before 0.7.1" in text and "data  unknown" in text


def test_a_version_whose_run_was_deleted(finder: Finder) -> None:
    assert "it was deleted" in shown(finder.find("landcover/3"))


@pytest.mark.parametrize(
    "thing",
    [
        "sample-landcover-v2",
        KEY,
        f"s3://gaiaflow/{KEY}",
        "products/landcover/sample-landcover-v2/landcover.tif",
        "products/landcover/sample-landcover-v2/",
    ],
)
def test_a_product(finder: Finder, thing: str) -> None:
    found = finder.find(thing)
    assert found.product and found.model and not found.uses
    assert (found.product.key, found.model.uri) == (KEY, "models:/landcover/2")
    assert found.product.derived_from == ("products/landcover/models/landcover-v2.json",)
    assert found.product.code == Code(COMMIT, False, "0.7.1")
    text = shown(found)
    assert f"commit  {COMMIT}\n" in text and "1234abcd" in text


def test_an_item_that_lies_here(finder: Finder, tmp_path: Path) -> None:
    file = tmp_path / "item.json"
    file.write_text(json.dumps(ITEM | {"properties": {"gaiaflow:model": "models:/gone/1"}}))
    assert "models:/gone/1, no longer registered" in shown(finder.find(str(file)))
    file.write_text("[]")
    with pytest.raises(GaiaflowError, match="is not a STAC item"):
        finder.find(str(file))


def test_an_older_product(finder: Finder) -> None:
    text = shown(finder.find("old"))
    assert "product old, made unknown" in text and "models:/landcover/1, registered" in text


def test_a_served_answer(finder: Finder) -> None:
    found = finder.find("Anna-7")
    assert found.answer and found.model
    assert dataclasses.astuple(found.answer) == (
        *("Anna-7", "2026-11-27T13:00:00+00:00", LOG, "models:/landcover/2"),
    )
    assert "request Anna-7, logged" in shown(found)
    assert json.loads(json.dumps(found.as_json()))["kind"] == "answer"


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        ("landcove", "There is no model, product or logged request 'landcove'. Did you mean land"),
        ("", "There is no model, product or logged request ''."),
        ("Anna", "There is no model, product or logged request 'Anna'."),
        ("products/landcover", "There is no model, product or logged request"),
        ("landcover/7", "landcover has no version 7. It has: 3, 2, 1, @champion."),
        ("landcover@best", "landcover has no alias 'best'."),
        ("models:/landcove/1", "There is no model 'landcove'. Did you mean landcover?"),
    ],
)
def test_what_there_is_not(finder: Finder, thing: str, says: str) -> None:
    with pytest.raises(GaiaflowError) as caught:
        finder.find(thing)
    assert says in str(caught.value)


PROMOTED = {
    "gaiaflow.promoted.registry": "https://staging.example.com",
    "gaiaflow.promoted.model": "models:/landcover/2",
    "gaiaflow.promoted.run_id": "new",
    "gaiaflow.promoted.by": "anna",
    "gaiaflow.promoted.at": "2026-11-27T12:30:00+00:00",
}


def promoted_from(answers: bool) -> Callable[[Server], Registry]:
    """Registries: that of prod has a copy of the version that staging has, if that answers."""

    def copies(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/2.0/mlflow/")
        if path == "registered-models/search":
            return httpx.Response(200, json={"registered_models": [{"name": "landcover"}]})
        if path == "model-versions/search":
            found = [version(5, "new", NOON + 1800, **PROMOTED)]
            return httpx.Response(200, json={"model_versions": found})
        return mlflow(request)

    def originals(request: httpx.Request) -> httpx.Response:
        if not answers:
            raise httpx.ConnectError("refused")
        return mlflow(request)

    def registry(server: Server) -> Registry:
        made = Registry(server)
        double = {"prod": copies, "staging": originals}.get(server.stage, empty)
        made._client = httpx.Client(
            base_url=server.url, transport=httpx.MockTransport(double), trust_env=False
        )
        return made

    def empty(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={})

    return registry


@pytest.fixture
def stages(finder: Finder, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Finder]:
    """Look in prod, where staging is known, too."""

    def look(answers: bool) -> Finder:
        monkeypatch.setattr(finding, "Registry", promoted_from(answers))
        for stage in ("staging", "prod"):
            monkeypatch.setenv(
                f"{stage.upper()}_MLFLOW_TRACKING_URI", f"https://{stage}.example.com"
            )
        return Finder(finder._project, lambda _: None, "prod")

    return look


def test_a_promoted_model(stages: Callable[[bool], Finder]) -> None:
    found = stages(True).find("landcover")
    assert found.model and found.model.promoted and found.uses is None
    origin = found.model.promoted.origin
    assert (
        origin
        and origin.training
        and (origin.uri, origin.aliases)
        == (
            "models:/landcover/2",
            ("champion",),
        )
    )
    text = shown(found)
    for words in (
        "promoted from  models:/landcover/2 (champion), registered",
        "in https://staging.example.com, 2026-11-27",
        "by anna",
        "https://staging.example.com/#/experiments/1/runs/new",
        "landcover, a copy  https://prod.example.com/#/experiments/1/runs/new",
        "DAG run  landcover, manual__1  in the Airflow of where it was trained",
    ):
        assert words in text
    assert text.count(COMMIT) == 1
    assert json.loads(json.dumps(found.as_json()))["model"]["promoted"]["missing"] is None


def test_a_promoted_model_whose_origin_does_not_answer(
    stages: Callable[[bool], Finder],
) -> None:
    text = shown(stages(False).find("landcover/5"))
    for words in (
        "promoted from  models:/landcover/2 in https://staging.example.com, 2026-11-27",
        "not read  this project's MLflow does not have it; The MLflow of staging does not answer",
        f"commit  {COMMIT}, with uncommitted changes",
        "data  features, digest 1234abcd",
    ):
        assert words in text


def test_a_stage_has_models_only(stages: Callable[[bool], Finder]) -> None:
    with pytest.raises(GaiaflowError, match="There is no model 'Anna-7' in the MLflow of prod"):
        stages(True).find("Anna-7")


def test_without_a_champion_it_is_the_newest() -> None:
    versions = [Version("m", number, "", (), {}, {}, "") for number in (2, 1)]
    assert models.choose(versions, "m", "").version == 2
    with pytest.raises(GaiaflowError, match="has no version"):
        models.choose([], "m", "")


def test_names_of_the_request_log() -> None:
    found = request_files.parse(LOG)
    assert found and (found.model, found.version, found.requests) == ("landcover", "2", 12)
    assert found.written == "2026-11-27T13:00:00+00:00"
    old = request_files.parse("serving/a-b/2026-01-02/030405-abcd.parquet")
    assert old and (old.model, old.version, old.requests) == ("a-b", None, None)
    assert request_files.parse("serving/a/labels/2026.parquet") is None


def test_without_mlflow_it_says_what_to_start(bare_project: Path) -> None:
    done = manage(bare_project, "lineage", "landcover")
    assert done.returncode == 1
    assert "MLflow does not answer" in done.stderr
    assert "Start it: python3 mlops_manager.py start --service mlflow" in done.stderr
