"""A version arrives in another registry whole, once, and unused; or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest

from gaiaflow.lineage.finding import Finder
from gaiaflow.mlflow_client import Registry
from gaiaflow.monitoring import Profile, load_profile, store_profile
from gaiaflow.project import clients, tracking
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.promotion import copying
from gaiaflow.promotion.copying import CantCopy, Order
from gaiaflow.release import promoting
from gaiaflow.release.promoting import Promotion

from .conftest import COMMIT, TAGS, using
from .servers import DIRECT, PACKAGE, TEMPLATE, Tracking

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


def steps_of(client: Any, run_id: str) -> list[tuple[int, float]]:
    """The steps of a metric."""
    history = client.get_metric_history(run_id, "loss")
    return sorted((metric.step, metric.value) for metric in history)


def pairs(metrics: Any) -> list[tuple[str, float]]:
    return sorted((metric.key, metric.value) for metric in metrics)


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
        history = steps_of(client, trained[0])
        metrics = client.get_logged_model(trained[1].removeprefix("models:/")).metrics
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
    assert run.data.tags["mlflow.user"] == original.data.tags["mlflow.user"]
    assert run.data.params == original.data.params
    assert run.data.metrics == original.data.metrics == {"loss": 0.3, "accuracy": 0.93}
    assert run.inputs.dataset_inputs == original.inputs.dataset_inputs != []
    with using(prod) as client:
        copied = client.get_logged_model(logged.model_id).metrics
        model = client.get_registered_model("whole")
        assert steps_of(client, run.info.run_id) == history != []
    assert pairs(copied) == pairs(metrics) and ("accuracy", 0.93) in pairs(copied)
    assert (model.description, model.tags) == (
        "Land cover of pixels.",
        {"gaiaflow.project": PACKAGE},
    )
    for thing in (version.tags, run.data.tags, logged.tags, model.tags):
        assert "canary" not in json.dumps(thing)


def test_a_copy_works(project: Any, prod: Tracking, register: Register) -> None:
    import pandas as pd

    register("working")
    promote(project, "working")
    with using(prod):
        uri = "models:/working/1"
        model = mlflow.pyfunc.load_model(uri)
        assert list(model.predict(model.input_example)) == ["Forest", "Water"]
        assert model.metadata.signature.inputs.input_names() == ["red", "nir"]
        served = pd.DataFrame({"red": [0.7, 0.6], "nir": [0.1, 0.2]})
        store_profile(Profile.of(served), uri, of="served")
        assert load_profile(uri, of="served").rows == 2
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


@pytest.mark.parametrize("refused", ["PASSWORD", "USERNAME"])
def test_a_wrong_login(project: Any, register: Register, refused: str) -> None:
    register("locked")
    project.env[f"PROD_MLFLOW_TRACKING_{refused}"] = "canary-wrong"
    with pytest.raises(GaiaflowError, match="The MLflow of prod rejects the log-in") as caught:
        promote(project, "locked")
    assert "canary" not in str(caught.value)


def test_files_that_are_missing(
    project: Any, own: Tracking, prod: Tracking, trained: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {}")
    with using(own) as client:
        experiment = client.get_experiment_by_name(PACKAGE).experiment_id
        logged = client.create_logged_model(experiment, "lost", trained[0])
        client.log_model_artifacts(logged.model_id, str(tmp_path))
        client.finalize_logged_model(logged.model_id, "READY")
        client.create_registered_model("lost")
        source = {"source": f"models:/{logged.model_id}", "model_id": logged.model_id}
        client.create_model_version("lost", run_id=trained[0], **source)
    shutil.rmtree(own.files / experiment / "models" / logged.model_id)
    with pytest.raises(GaiaflowError, match="The files of lost 1 are missing in the store"):
        promote(project, "lost")
    assert traces(prod, "lost") == ([], [], [])


def test_files_that_arrive_changed(
    project: Any, prod: Tracking, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("changed")
    real = mlflow.MlflowClient.log_model_artifacts

    def change(self: Any, model_id: str, folder: str) -> None:
        (Path(folder) / "profile.json").write_text("{}")
        real(self, model_id, folder)

    monkeypatch.setattr(mlflow.MlflowClient, "log_model_artifacts", change)
    order = order_of(project, "changed", monkeypatch)
    with pytest.raises(CantCopy, match="files in the MLflow of prod differ"):
        copying.copy(Order(**order), lambda _: None)
    assert traces(prod, "changed") == ([], [], [])


# --- interrupted ---------------------------------------------------------------------------------


def order_of(project: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `promote` would tell the program that copies."""

    def keep(_: Any, order: dict[str, Any], __: Any) -> None:
        raise Ordered(order)

    with monkeypatch.context() as patch, pytest.raises(Ordered) as caught:
        patch.setattr(promoting, "_copy", keep)
        promote(project, name)
    order: dict[str, Any] = caught.value.args[0]
    return order


class Ordered(Exception):
    """Carries an order."""


@contextmanager
def copying_until(order: dict[str, Any], said: str) -> Iterator[subprocess.Popen[str]]:
    """The program that copies, right after it has said something."""
    command = [sys.executable, "-m", "gaiaflow.promotion"]
    environ = {
        **os.environ,
        **clients.MLFLOW_CLIENT,
        **DIRECT,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    }
    with subprocess.Popen(
        command,
        cwd=TEMPLATE,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps(order))
        process.stdin.close()
        while said not in (line := process.stdout.readline()):
            assert line, "it has ended"
        try:
            yield process
        finally:
            process.kill()


def test_a_killed_copy_leaves_no_version_and_the_next_one_cleans_up(
    project: Any, prod: Tracking, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("killed")
    with copying_until(order_of(project, "killed", monkeypatch), "writing") as process:
        process.kill()
        process.wait()
    versions, runs, _ = traces(prod, "killed")
    assert versions == [] and [run.info.status for run in runs] == ["RUNNING"]
    assert promote(project, "killed").created
    assert [len(found) for found in traces(prod, "killed")] == [1, 1, 1]


def test_an_interrupted_copy_cleans_up(
    project: Any, prod: Tracking, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("interrupted")
    with copying_until(order_of(project, "interrupted", monkeypatch), "writing") as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    assert traces(prod, "interrupted") == ([], [], [])


def test_a_lost_connection(
    project: Any, prod: Tracking, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("cut")
    order = order_of(project, "cut", monkeypatch)
    with way_to(prod) as (way, address):
        order["target"]["MLFLOW_TRACKING_URI"] = address
        with copying_until(order, "writing") as process:
            way.kill()
            assert process.stdout
            last = json.loads(process.stdout.readlines()[-1])
            assert process.wait(60) == 1
    assert last["error"].startswith("The MLflow of prod failed: ")
    assert "canary" not in last["error"]
    assert traces(prod, "cut")[0] == []
    assert promote(project, "cut").created
    assert [len(found) for found in traces(prod, "cut")] == [1, 1, 1]


@contextmanager
def way_to(server: Tracking) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A way to a server that can be cut, as a `kubectl port-forward` can, and its address."""
    command = [sys.executable, "-m", "gaiaflow.entrypoints.forward", "127.0.0.2", str(server.port)]
    with subprocess.Popen(command, cwd=TEMPLATE) as way:
        address = f"http://127.0.0.2:{server.port}"
        try:
            dataclasses.replace(server, env={"MLFLOW_TRACKING_URI": address}).wait()
            yield way, address
        finally:
            way.kill()
