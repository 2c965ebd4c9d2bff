"""A version arrives in another registry whole, once, and unused; or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from gaiaflow.lineage.finding import Finder
from gaiaflow.mlflow_client import Registry
from gaiaflow.monitoring import Profile, load_profile, store_profile
from gaiaflow.project import tracking
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.release import promoting
from gaiaflow.release.promoting import Promotion

from .conftest import COMMIT, PACKAGE, TAGS, TEMPLATE, Tracking, using

Register = Callable[..., int]


def promote(project: Any, name: str, version: int = 1, stage: str = "prod") -> Promotion:
    servers = (tracking.server(project, "", {}), tracking.server(project, stage, {}))
    return promoting.promote(project, name, version, *servers, lambda _: None)


def bytes_of(server: Tracking, name: str, version: int, folder: Path) -> dict[str, str]:
    """The files of a version: their digests, by path."""
    with using(server) as client:
        address = client.get_model_version_download_uri(name, str(version))
        root = Path(mlflow.artifacts.download_artifacts(address, dst_path=str(folder)))
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def traces(server: Tracking, name: str) -> tuple[list[Any], list[Any], list[Any]]:
    """What there is of a model's promotions: versions, runs and logged models."""
    with using(server) as client:
        versions = client.search_model_versions(f"name = '{name}'")
        experiment = client.get_experiment_by_name(PACKAGE)
        mine = f"tags.`gaiaflow.promoted.model` LIKE 'models:/{name}/%'"
        runs = client.search_runs([experiment.experiment_id], mine)
        models = client.search_logged_models([experiment.experiment_id])
    wanted = f"models:/{name}/"
    logged = [m for m in models if m.tags.get("gaiaflow.promoted.model", "").startswith(wanted)]
    return list(versions), list(runs), logged


def test_a_copy_is_the_same_and_says_where_it_comes_from(
    project: Any,
    own: Tracking,
    prod: Tracking,
    register: Register,
    trained: tuple[str, str],
    tmp_path: Path,
) -> None:
    register("whole")
    done = promote(project, "whole")
    assert done.created and done.champion is None
    assert (done.source.registry, done.target.registry) == (own.url, prod.url)

    files = bytes_of(own, "whole", 1, tmp_path / "own")
    assert {"MLmodel", "profile.json", "input_example.json"} <= files.keys()
    assert bytes_of(prod, "whole", done.target.version, tmp_path / "prod") == files

    with using(own) as client:
        original = client.get_run(trained[0])
        user = original.data.tags["mlflow.user"]
    [version], [run], [logged] = traces(prod, "whole")
    assert version.aliases == [] and version.description == "Of the **first** samples."
    assert version.tags["accuracy"] == "0.93" and "champion_since" not in version.tags
    promoted = {
        name.removeprefix("gaiaflow.promoted."): value
        for name, value in version.tags.items()
        if name.startswith("gaiaflow.promoted.")
    }
    assert promoted.pop("at").startswith("20") and promoted.pop("files").startswith("sha256:")
    assert promoted == {
        "registry": own.url,
        "model": "models:/whole/1",
        "run_id": trained[0],
        "commit": COMMIT,
        "by": "own",
    }
    assert version.run_id == run.info.run_id and logged.source_run_id == run.info.run_id
    assert (run.info.status, run.info.run_name) == ("FINISHED", "landcover")
    assert TAGS.items() - {("mlflow.note.content", "The first samples.")} <= run.data.tags.items()
    assert run.data.tags["mlflow.note.content"].startswith("A copy of the run")
    assert run.data.tags["mlflow.user"] == user
    assert run.data.params == original.data.params
    assert run.data.metrics == original.data.metrics == {"loss": 0.3, "accuracy": 0.93}
    assert run.inputs.dataset_inputs == original.inputs.dataset_inputs != []
    assert [(m.key, m.value) for m in logged.metrics] == [("accuracy", 0.93)]
    with using(prod) as client:
        steps = client.get_metric_history(run.info.run_id, "loss")
        model = client.get_registered_model("whole")
    assert [(metric.step, metric.value) for metric in steps] == [(0, 0.9), (1, 0.5), (2, 0.3)]
    assert (model.description, model.tags) == (
        "Land cover of pixels.",
        {"gaiaflow.project": PACKAGE},
    )


def test_a_copy_works(project: Any, prod: Tracking, register: Register) -> None:
    import pandas as pd

    register("working")
    promote(project, "working")
    with using(prod):
        uri = "models:/working/1"
        model = mlflow.pyfunc.load_model(uri)
        assert list(model.predict(model.input_example)) == ["Forest", "Water"]
        assert model.metadata.signature.inputs.input_names() == ["red", "nir"]
        served = pd.DataFrame({"red": [0.7], "nir": [0.1]})
        store_profile(Profile.of(served), uri, of="served")
        assert load_profile(uri, of="served").rows == 1
        assert load_profile(uri).rows == 4


def test_twice_is_once(project: Any, prod: Tracking, register: Register) -> None:
    register("twice")
    first, second = promote(project, "twice"), promote(project, "twice")
    assert (first.created, second.created) == (True, False)
    assert second.target == first.target
    assert [len(found) for found in traces(prod, "twice")] == [1, 1, 1]
    register("twice")
    assert promote(project, "twice", 2).target.version == 2


def test_the_champion_there_stays(project: Any, prod: Tracking, register: Register) -> None:
    register("reign")
    promote(project, "reign")
    there = Registry(tracking.server(project, "prod", {}))
    assert there.promote("reign", 1) is None
    register("reign")
    assert promote(project, "reign", 2).champion == 1
    assert [v.is_champion for v in there.versions("reign")] == [False, True]
    there.promote("reign", 2)
    assert there.roll_back("reign")[1].version == 1


def test_lineage_leads_back(
    project: Any, own: Tracking, register: Register, trained: tuple[str, str]
) -> None:
    register("traced")
    promote(project, "traced")
    found = Finder(project, lambda _: None, "prod").find("traced/1")
    assert found.model and found.model.promoted and found.model.training
    assert found.model.training.dag_run and found.model.training.dag_run.url is None
    assert found.model.training.code.commit == COMMIT
    assert found.model.training.data[0].name == "features"
    assert (found.model.promoted.registry, found.model.promoted.by) == (own.url, "own")
    origin = found.model.promoted.origin
    assert origin and origin.training and origin.aliases == ("champion",)
    assert origin.training.run_id == trained[0] == found.model.promoted.run_id
    assert json.loads(json.dumps(found.as_json()))["model"]["promoted"]["missing"] is None

    project.url = lambda _: "http://127.0.0.1:1"
    found = Finder(project, lambda _: None, "prod").find("traced")
    assert found.model and found.model.promoted and found.model.promoted.origin is None
    assert found.model.promoted.missing == (
        "MLflow does not answer at http://127.0.0.1:1; "
        "It is not known where the MLflow of staging is"
    )
    with pytest.raises(GaiaflowError, match="There is no model 'map' in the MLflow of prod"):
        Finder(project, lambda _: None, "prod").find("map")


# --- interrupted ---------------------------------------------------------------------------------


def order_of(project: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `promote` would tell the program that copies."""
    orders: list[dict[str, Any]] = []

    def keep(_: Any, order: dict[str, Any], __: Any) -> tuple[int, bool]:
        orders.append(order)
        return 0, True

    with monkeypatch.context() as patch:
        patch.setattr(promoting, "_copy", keep)
        patch.setattr(Registry, "history", lambda self, name: [])
        promote(project, name)
    return orders[0]
