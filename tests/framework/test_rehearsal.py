"""What a rehearsal puts into the cluster; tests/stack/test_rehearsal.py runs one in a real one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from plumbum import local

from gaiaflow.cli import common
from gaiaflow.cli.minikube import Production
from gaiaflow.cluster.secrets import expected
from gaiaflow.cluster.stage import Stage
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project, prepare
from gaiaflow.rehearsal import airflow, science, secrets, servers
from gaiaflow.rehearsal.programs import Kubectl
from gaiaflow.rehearsal.watching import wait_until_ready
from gaiaflow.release.branches import Branches
from gaiaflow.release.git import Git

from .conftest import TEMPLATE, secrets_of

# Stands in for the cluster: it runs here what is executed there, and answers with what a test says.
KUBECTL = """\
#!/bin/sh
case "$*" in
*exec*) while [ "$1" != -- ]; do shift; done; shift; exec "$@" ;;
*get*) cat "$ANSWERS/$(echo "$*" | sed 's/.* get \\([a-z,]*\\) .*/\\1/')" ;;
*logs*) echo "no database" ;;
*) printf '%s\\n' "$*" >>"$ANSWERS/calls" ;;
esac
"""


@pytest.fixture
def project(project_root: Path) -> Project:
    shutil.copytree(TEMPLATE / "deploy", project_root / "deploy")
    return prepare(project_root)


def test_a_failure_says_how_to_remove_what_is_there(
    project: Project, kubectl: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "project", lambda: project)
    (tmp_path / "bin" / "helm").symlink_to("kubectl")
    minikube = tmp_path / "bin" / "minikube"
    minikube.write_text("#!/bin/sh\necho broken >&2\nexit 1\n", encoding="utf-8")
    minikube.chmod(0o755)
    with pytest.raises(GaiaflowError, match=r"(?s)broken.*production --remove"):
        Production.run(["production"], exit=False)


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    folder = tmp_path / "answers"
    folder.mkdir()
    return folder


@pytest.fixture
def kubectl(tmp_path: Path, answers: Path) -> Iterator[Kubectl]:
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(KUBECTL, encoding="utf-8")
    program.chmod(0o755)
    with local.env(PATH=f"{program.parent}:{local.env['PATH']}", ANSWERS=str(answers)):
        yield Kubectl(tmp_path / "100 % größer" / "kube_config_inline")


def test_every_secret_has_a_value(project: Project) -> None:
    stage = Stage("staging", project.root)
    made = {}
    for each in secrets.objects(project, stage):
        where = each["metadata"]["namespace"], each["metadata"]["name"]
        made[where] = each["stringData"]
    assert {where: set(values) for where, values in made.items()} == expected(stage)
    unknown = {
        key for values in made.values() for key, value in values.items() if value == "rehearsal"
    }
    assert unknown == {"tls.crt", "tls.key", "client-id", "client-secret", "metadata-url"}
    connections = made["airflow-staging", "airflow-connections"]
    assert json.loads(connections["AIRFLOW_CONN_GIT_PROJECT"])["host"] == servers.REPOSITORY


def test_values_and_overlay_hold_no_secret(project: Project) -> None:
    stage = Stage("staging", project.root)
    values = airflow.values(stage, project, "forest-rehearsal-airflow:1a2b")
    assert values["images"] == {
        "airflow": {"repository": "forest-rehearsal-airflow", "tag": "1a2b", "digest": None}
    }
    text = json.dumps(values) + yaml.safe_dump(science.overlay(stage, project, "mlflow:1a2b"))
    assert not [secret for secret in secrets_of(project) if secret in text]


def test_servers_run_as_compose_describes_them(tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "a.sh").write_text("echo", encoding="utf-8")
    postgres = {"image": "postgres:17", "user": "999:999", "environment": {"P": "a$$b", "Q": None}}
    store = {"image": "store:1", "user": "1000:1000", "command": ["server", "-s3"]}
    made = servers.objects(postgres, store, scripts, "airflow:1", "mlflow:1", {"S3_BUCKET": "b"})
    found: dict[Any, Any] = {(each["kind"], each["metadata"]["name"]): each for each in made}
    assert found["Secret", "postgres"]["stringData"].items() >= {"P": "a$b", "Q": ""}.items()
    pod = found["Deployment", "object-store"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["server", "-s3"]
    assert pod["securityContext"]["fsGroup"] == 1000


def test_a_commit_is_pushed_through_kubectl(
    kubectl: Kubectl, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real git, from a path with spaces and a percent sign."""
    there = tmp_path / "there.git"
    monkeypatch.setattr(servers, "_FOLDER", str(there))
    git = Git(project.root)
    for command in (
        ("init", "--quiet"),
        ("init", "--quiet", "--bare", str(there)),
        ("add", "deploy"),
        ("-c", "user.name=A", "-c", "user.email=a@b.org", "commit", "--quiet", "-m", "all"),
    ):
        git.run(*command)
    git.run("config", "user.name", "A")
    git.run("config", "user.email", "a@b.org")
    commit = Branches(git).rehearse(git.commit("HEAD"), "forest:1a2b")
    servers.push(kubectl, git, commit, "deploy/staging")
    file = f"{commit}:deploy/release/image"
    assert Git(there).run("show", file) == "forest:1a2b"
    assert Git(there).run("rev-parse", "deploy/staging") == commit
    assert git.run("branch", "--all", "--list", "deploy/*") == ""


def server(ready: int) -> dict[str, Any]:
    counts = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": ready, "observedGeneration": 2}
    about = {"name": "mlflow", "generation": 2}
    return {"kind": "Deployment", "metadata": about, "spec": {"replicas": 1}, "status": counts}


def pod(**status: Any) -> dict[str, Any]:
    containers = [{"name": "mlflow", **status}]
    return {"metadata": {"name": "mlflow-x"}, "status": {"containerStatuses": containers}}


def answer(answers: Path, servers: list[Any], pods: list[Any]) -> None:
    for name, items in (("deployments,statefulsets,jobs", servers), ("pods", pods)):
        (answers / name).write_text(json.dumps({"items": items}), encoding="utf-8")


def test_it_waits_for_what_is_ready(kubectl: Kubectl, answers: Path) -> None:
    said: list[str] = []
    none = {**server(0), "spec": {"replicas": 0}}
    none["status"] = {"observedGeneration": 2}
    job = {"kind": "Job", "metadata": {"name": "bucket"}, "status": {"succeeded": 1}}
    answer(answers, [server(1), none, job], [pod()])
    wait_until_ready(kubectl, "science", lambda *words: said.append(words[1]), "mlflow")
    assert said == ["healthy"]


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (
            {"restartCount": 5, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
            "again and again:\nno database",
        ),
        ({"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}, "not found"),
    ],
)
def test_it_tells_why_a_pod_does_not_start(
    kubectl: Kubectl,
    answers: Path,
    status: dict[str, Any],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gaiaflow.rehearsal.watching._PATIENCE", 0)
    answer(answers, [server(0)], [pod(**status)])
    with pytest.raises(GaiaflowError, match=why):
        wait_until_ready(kubectl, "science", lambda *_: None, "mlflow")
