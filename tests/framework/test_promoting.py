"""Promotion: what is asked of two registries before a version is copied, and what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from gaiaflow.cli import common, models
from gaiaflow.cli.mlops import MlopsManager
from gaiaflow.mlflow_client import Registry
from gaiaflow.project import envfile, settings, tracking
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_identity
from gaiaflow.project.project import Project, load
from gaiaflow.project.tracking import Server
from gaiaflow.release import promoting
from gaiaflow.release.promoting import Place, Promotion, promote

SECRET = "canary-71c2"
PROD = {
    "PROD_MLFLOW_TRACKING_URI": "https://mlflow.example.com/",
    "PROD_MLFLOW_TRACKING_USERNAME": "team",
    "PROD_MLFLOW_TRACKING_PASSWORD": SECRET,
}


@pytest.fixture
def project(project_root: Path) -> Project:
    text = settings.env_text(read_identity(project_root))
    envfile.write(project_root / ".env", text)
    return load(project_root)


def with_settings(project: Project, **changes: str) -> Project:
    return project.replaced({**PROD, **changes})


# --- settings ------------------------------------------------------------------------------------


def test_the_servers_of_a_project(project: Project) -> None:
    own = tracking.server(project, "", {})
    assert (own.url, own.is_local) == (project.url("MLFLOW_PORT"), True)
    assert own.login == (
        project.env["MLFLOW_TRACKING_USERNAME"],
        project.env["MLFLOW_TRACKING_PASSWORD"],
    )
    prod = tracking.server(with_settings(project), "prod", {})
    assert (prod.url, prod.is_local) == ("https://mlflow.example.com", False)
    assert prod.login == ("team", SECRET)
    assert SECRET not in repr(prod)


def test_variables_come_before_the_file(project: Project) -> None:
    """As in CI, which has secrets as variables."""
    given = {"PROD_MLFLOW_TRACKING_TOKEN": "token", "PROD_MLFLOW_TRACKING_PASSWORD": ""}
    prod = tracking.server(with_settings(project), "prod", given)
    assert (prod.login, prod.token) == (None, "token")


def test_tasks_do_not_get_them(project: Project) -> None:
    assert with_settings(project, MINE="1").own_variables() == {"MINE": "1"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"PROD_MLFLOW_TRACKING_URI": ""}, "In .env, set PROD_MLFLOW_TRACKING_URI, PROD_"),
        ({"PROD_MLFLOW_TRACKING_URI": "mlflow.example.com"}, "is not the address of a server"),
        ({"PROD_MLFLOW_TRACKING_URI": "file:///data"}, "is not the address of a server"),
        ({"PROD_MLFLOW_TRACKING_URI": "http://[a"}, "is not the address of a server"),
        (
            {"PROD_MLFLOW_TRACKING_URI": f"https://team:{SECRET}@example.com"},
            "Set PROD_MLFLOW_TRACKING_USERNAME and PROD_MLFLOW_TRACKING_PASSWORD instead.",
        ),
        ({"PROD_MLFLOW_TRACKING_PASWORD": SECRET}, "PROD_MLFLOW_TRACKING_PASWORD is not a setting"),
    ],
)
def test_wrong_settings(project: Project, changes: dict[str, str], says: str) -> None:
    with pytest.raises(GaiaflowError) as caught:
        tracking.server(with_settings(project, **changes), "prod", {})
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_certificate_that_is_not_there(project: Project) -> None:
    changed = with_settings(project, PROD_MLFLOW_TRACKING_SERVER_CERT_PATH="/nowhere/ca.pem")
    with pytest.raises(GaiaflowError, match=r"/nowhere/ca\.pem can't be read"):
        Registry(tracking.server(changed, "prod", {}))


# --- registries ----------------------------------------------------------------------------------


class Mlflow:
    """Answers as MLflow does; one version of `landcover` unless a test changes it."""

    def __init__(self, **changes: Any) -> None:
        self.versions: list[dict[str, Any]] = [{"version": "1", "run_id": "abc", "tags": {}}]
        self.champion = ""
        self.model_tags: dict[str, str] = {}
        self.experiment = "forest_watch"
        self.runs = {"abc", "def"}
        self.asked: list[httpx.Request] = []
        for name, value in changes.items():
            setattr(self, name, value)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        path = request.url.path.partition("/api/2.0/mlflow/")[2]
        answers: dict[str, Callable[[httpx.Request], Any]] = {
            "registered-models/search": self._models,
            "registered-models/get": self._model,
            "model-versions/search": self._versions,
            "runs/get": self._run,
            "experiments/get": lambda _: {"experiment": {"name": self.experiment}},
        }
        found = answers[path](request)
        return httpx.Response(200, json=found) if found else httpx.Response(404, json={})

    def _models(self, _: httpx.Request) -> Any:
        aliases = [{"alias": "champion", "version": self.champion}] if self.champion else []
        known = [{"name": "landcover", "aliases": aliases}] if self.versions else []
        return {"registered_models": known}

    def _model(self, _: httpx.Request) -> Any:
        return {"registered_model": {"tags": pairs(self.model_tags)}} if self.versions else None

    def _versions(self, _: httpx.Request) -> Any:
        found = [
            {**version, "creation_timestamp": 1000, "tags": pairs(version["tags"])}
            for version in self.versions
        ]
        return {"model_versions": found}

    def _run(self, request: httpx.Request) -> Any:
        run_id = request.url.params["run_id"]
        if run_id not in self.runs:
            return None
        tags = pairs({"mlflow.source.git.commit": "c0ffee"})
        return {"run": {"info": {"experiment_id": "1"}, "data": {"tags": tags}}}


def pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


COPY = {
    "gaiaflow.promoted.run_id": "abc",
    "gaiaflow.promoted.model": "models:/landcover/1",
}


class Asked:
    """Promotion with two doubles of MLflow; `order` is what the program that copies would get."""

    def __init__(self, project: Project, patch: pytest.MonkeyPatch) -> None:
        self.project = with_settings(project)
        self.own, self.prod = Mlflow(), Mlflow(versions=[])
        self.order: Any = None

        def copy(_: Project, order: Any, __: Any) -> tuple[int, bool]:
            self.order = order
            self.prod.versions = [{"version": "4", "run_id": "new", "tags": order["identity"]}]
            return 4, True

        patch.setattr(promoting, "Registry", self.registry)
        patch.setattr(promoting, "_copy", copy)

    def registry(self, server: Server) -> Registry:
        made = Registry(server)
        double = self.prod if server.stage else self.own
        made._client = httpx.Client(
            base_url=server.url, auth=server.login, transport=httpx.MockTransport(double)
        )
        return made

    def promote(self, version: int = 1, **changes: str) -> Promotion:
        project = self.project.replaced(changes)
        servers = (tracking.server(project, "", {}), tracking.server(project, "prod", {}))
        return promote(project, "landcover", version, *servers, lambda _: None)


@pytest.fixture
def asked(project: Project, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(project, monkeypatch)


def test_what_is_ordered(asked: Asked) -> None:
    done = asked.promote()
    assert done == Promotion(
        "landcover",
        Place("", asked.project.url("MLFLOW_PORT"), 1),
        Place("prod", "https://mlflow.example.com", 4),
        created=True,
        champion=None,
    )
    assert asked.order["identity"] == COPY
    tags = asked.order["tags"]
    assert tags.pop("gaiaflow.promoted.at").endswith("+00:00")
    assert tags == {
        "gaiaflow.promoted.registry": asked.project.url("MLFLOW_PORT"),
        "gaiaflow.promoted.commit": "c0ffee",
        "gaiaflow.promoted.by": asked.project.env["MLFLOW_TRACKING_USERNAME"],
    }
    assert asked.order["target"]["MLFLOW_TRACKING_PASSWORD"] == SECRET
    assert asked.order["model_tags"] == {"gaiaflow.project": "forest_watch"}


def test_a_copy_that_is_there_already(asked: Asked) -> None:
    asked.prod.versions = [{"version": "7", "run_id": "xyz", "tags": COPY}]
    asked.prod.champion = "7"
    done = asked.promote()
    assert (done.target.version, done.created, done.champion) == (7, False, 7)
    assert asked.order is None
    asked.own.versions.append({"version": "2", "run_id": "abc", "tags": {}})
    assert asked.promote(2).created  # of the same run, but another version


def test_unknown_versions(asked: Asked) -> None:
    with pytest.raises(GaiaflowError, match=r"landcover has no version 3. It has: 1\."):
        asked.promote(3)
    asked.own.versions = []
    with pytest.raises(GaiaflowError, match="There is no model 'landcover'"):
        asked.promote()


def test_a_version_whose_run_was_deleted(asked: Asked) -> None:
    asked.own.runs = set()
    with pytest.raises(GaiaflowError, match="nobody could trace the copy back"):
        asked.promote()


def test_the_same_registry(asked: Asked) -> None:
    """By its address, or by another one, such as that of an ingress."""
    own = asked.project.url("MLFLOW_PORT")
    with pytest.raises(GaiaflowError, match="are the same") as caught:
        asked.promote(PROD_MLFLOW_TRACKING_URI=own)
    assert "promote landcover 1 --in prod" in str(caught.value)
    asked.prod.versions = asked.own.versions
    with pytest.raises(GaiaflowError, match="This project's MLflow and the MLflow of prod are the"):
        asked.promote()


@pytest.mark.parametrize(
    ("tags", "experiment", "refused"),
    [
        ({"gaiaflow.project": "forest_watch"}, "anything", False),
        ({"gaiaflow.project": "other"}, "forest_watch", True),
        ({}, "forest_watch", False),
        ({}, "other", True),
    ],
)
def test_a_model_of_another_project(
    asked: Asked, tags: dict[str, str], experiment: str, refused: bool
) -> None:
    there = {"versions": [{"version": "1", "run_id": "def", "tags": {}}]}
    asked.prod = Mlflow(**there, model_tags=tags, experiment=experiment)
    if refused:
        with pytest.raises(GaiaflowError, match="a model 'landcover' of another project, 'other'"):
            asked.promote()
    assert refused or asked.promote().created


def answering(
    project: Project, stage: str, answer: httpx.Response | Exception, **changes: str
) -> Registry:
    def double(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    registry = Registry(tracking.server(with_settings(project, **changes), stage, {}))
    registry._client = httpx.Client(base_url=registry.url, transport=httpx.MockTransport(double))
    return registry


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.ConnectError("refused"), "does not answer at https://mlflow.example.com: refused"),
        (httpx.ConnectError("refused"), "Check PROD_MLFLOW_TRACKING_URI in .env and the way there"),
        (httpx.Response(401), "The MLflow of prod rejects the log-in."),
        (httpx.Response(401), "Check PROD_MLFLOW_TRACKING_USERNAME and PROD_"),
        (httpx.Response(403, text="Invalid Host"), "The MLflow of prod failed: 403 Invalid Host"),
        (httpx.Response(302), "The MLflow of prod failed: 302"),
        (httpx.Response(200, text="<html>"), "What answers at https://mlflow.example.com is not"),
    ],
)
def test_what_does_not_answer_as_it_should(
    project: Project, answer: httpx.Response | Exception, says: str
) -> None:
    with pytest.raises(GaiaflowError) as caught:
        answering(project, "prod", answer).names()
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_certificate_is_where_the_project_is(project: Project) -> None:
    changed = with_settings(project, PROD_MLFLOW_TRACKING_SERVER_CERT_PATH="ca.pem")
    assert tracking.server(changed, "prod", {}).certificate == str(project.root / "ca.pem")


def test_a_token(project: Project) -> None:
    changed = with_settings(
        project, PROD_MLFLOW_TRACKING_PASSWORD="", PROD_MLFLOW_TRACKING_TOKEN="abc"
    )
    client = Registry(tracking.server(changed, "prod", {}))._client
    assert client.headers["Authorization"] == "Bearer abc"


def test_hints_name_the_registry(asked: Asked) -> None:
    there = asked.registry(tracking.server(asked.project, "prod", {}))
    with pytest.raises(GaiaflowError, match=r"models --in prod$"):
        there.history("landcover")
    asked.prod.versions = [{"version": "1", "run_id": "abc", "tags": {}}]
    with pytest.raises(GaiaflowError, match=r"promote landcover VERSION --in prod$"):
        there.roll_back("landcover")


# --- the program that copies ---------------------------------------------------------------------


def program(folder: Path, script: str) -> Any:
    """A project whose Python is a shell script."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    python.chmod(0o755)
    return SimpleNamespace(root=folder, environment=SimpleNamespace(python=python))


def test_the_program_is_told_secrets_on_standard_input(tmp_path: Path) -> None:
    script = """echo "$@" >arguments; env >environment; cat >order
echo '{"say": "reading"}'; echo '{"version": 3, "created": true}'"""
    said: list[str] = []
    order = {"target": {"MLFLOW_TRACKING_PASSWORD": SECRET}}
    assert promoting._copy(program(tmp_path, script), order, said.append) == (3, True)
    assert said == ["starting MLflow", "reading"]
    assert json.loads((tmp_path / "order").read_text()) == order
    assert (tmp_path / "arguments").read_text() == "-m gaiaflow.promotion\n"
    environment = (tmp_path / "environment").read_text()
    assert SECRET not in environment
    assert "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD=false" in environment


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("""cat >order; echo '{"error": "prod refuses"}'; exit 1""", "prod refuses"),
        ("cat >order; echo No module named mlflow >&2; exit 1", "No module named mlflow"),
        ("echo No module named mlflow >&2; exit 1", "No module named mlflow"),
    ],
)
def test_a_program_that_fails(tmp_path: Path, script: str, says: str) -> None:
    large = {"padding": " " * 1_000_000}  # more than a pipe holds
    with pytest.raises(GaiaflowError, match=says):
        promoting._copy(program(tmp_path, script), large, lambda _: None)


def test_without_the_projects_environment(tmp_path: Path) -> None:
    made = program(tmp_path, "")
    made.environment.python.unlink()
    with pytest.raises(GaiaflowError, match=r"Create it: python3 mlops_manager\.py deps"):
        promoting._copy(made, {}, lambda _: None)


def test_an_interrupted_program_cleans_up_first(tmp_path: Path) -> None:
    script = """trap 'sleep 0.2; touch cleaned; exit 130' TERM
cat >order; echo '{"say": "writing"}'; while true; do sleep 0.05; done"""

    def interrupt(what: str) -> None:
        if what == "writing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        promoting._copy(program(tmp_path, script), {}, interrupt)
    assert (tmp_path / "cleaned").exists()


# --- the command ---------------------------------------------------------------------------------

DONE = Promotion(
    "landcover",
    Place("staging", "https://staging.example.com", 7),
    Place("prod", "https://mlflow.example.com", 4),
    created=True,
    champion=3,
)


def call(
    monkeypatch: pytest.MonkeyPatch, project: Project, done: Promotion, *arguments: str
) -> list[Any]:
    """Call `promote`; what it asks for."""
    calls: list[Any] = []

    def double(*given: Any) -> Promotion:
        calls.extend(given)
        return done

    staging = {name.replace("PROD", "STAGING"): value for name, value in PROD.items()}
    monkeypatch.setattr(common, "project", lambda: with_settings(project, **staging))
    monkeypatch.setattr(models, "promote", double)
    assert MlopsManager.run(["x", "promote", *arguments], exit=False)[1] == 0
    return calls


def test_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Project
) -> None:
    line = ("landcover", "7", "--in", "staging", "--to", "prod")
    [_, name, version, source, target, _] = call(monkeypatch, project, DONE, *line)
    assert (name, version, source.stage, target.stage) == ("landcover", 7, "staging", "prod")
    shown = capsys.readouterr()
    assert shown.out == "It is version 4 of landcover in prod: https://mlflow.example.com\n"
    assert "Now, version 3 is the champion there. To use this one: python3" in shown.err
    assert "promote landcover 4 --in prod" in shown.err


def test_the_command_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Project
) -> None:
    again = replace(DONE, created=False, champion=4)
    call(monkeypatch, project, again, "landcover", "7", "--to", "prod")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "It is version 4 of landcover in prod already." in shown.err
    assert "It is the champion there." in shown.err


def test_the_command_in_a_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Project
) -> None:
    call(monkeypatch, project, DONE, "landcover", "7", "--to", "prod", "--json")
    shown = json.loads(capsys.readouterr().out)
    assert shown == {
        "name": "landcover",
        "source": {"stage": "staging", "registry": "https://staging.example.com", "version": 7},
        "target": {"stage": "prod", "registry": "https://mlflow.example.com", "version": 4},
        "created": True,
        "champion": 3,
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("landcover", "1", "--json"),
        ("landcover", "one", "--to", "prod"),
        ("landcover", "1", "--to", "production"),
    ],
)
def test_wrong_use(arguments: tuple[str, ...]) -> None:
    try:
        code = MlopsManager.run(["x", "promote", *arguments], exit=False)[1]
    except common.WrongUse:
        code = 2
    assert code == 2
