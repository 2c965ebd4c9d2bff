"""`minikube_manager.py production`: the whole of deploy/ in a real cluster.

GAIAFLOW_TEST_CHART names a folder with Airflow's chart, where its site can't be reached.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plumbum import local

from .conftest import HERE, Done, Generate, Project, execute
from .test_modes import MINIKUBE

pytestmark = pytest.mark.cluster

CHART = os.environ.get("GAIAFLOW_TEST_CHART")
LIST_LOGS = """
import boto3, json, os
known = json.loads(os.environ["AIRFLOW_CONN_LOGS"])
keys = {"aws_access_key_id": known["login"], "aws_secret_access_key": known["password"]}
store = boto3.client("s3", endpoint_url=known["extra"]["endpoint_url"], **keys)
found = store.list_objects_v2(Bucket=os.environ["S3_BUCKET"], Prefix="airflow-logs/")
print(*(each["Key"] for each in found["Contents"]))
"""
NAMESPACES = {"airflow-staging", "science-staging", "rehearsal"}


@pytest.fixture(scope="module")
def project(generate: Generate) -> Iterator[Project]:
    if not MINIKUBE:
        pytest.skip("GAIAFLOW_TEST_MINIKUBE is not set")
    answers = {"kubernetes": "yes", "deploy": "kubernetes"}
    project, _ = generate("Rehearsal", package_name="forest_watch", **answers)
    assert project.manage("deps").code == 0
    commit(project, "lock")
    yield project
    minikube(project, "production", "--remove")
    minikube(project, "clean")


def commit(project: Project, message: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@b.org")
    for command in (("add", "--all"), (*who, "commit", "--quiet", "--message", message)):
        local["git"]("-C", project.root, *command)


def minikube(project: Project, *arguments: str) -> Done:
    manager = project.root / "minikube_manager.py"
    return execute(sys.executable, manager, *arguments, cwd=HERE, limit=3600)


def kubectl(project: Project, *arguments: str | Path) -> str:
    config = project.root / "kube_config_inline"
    return str(local["kubectl"]("--kubeconfig", config, *arguments))


def namespaces(project: Project) -> set[str]:
    names = kubectl(project, "get", "namespaces", "--output=name").split()
    return {name.removeprefix("namespace/") for name in names}


def test_the_project_passes(project: Project) -> None:
    chart = ("--chart", CHART) if CHART else ()
    done = minikube(project, "production", "--keep", *chart)
    assert done.code == 0, done
    assert "landcover is green" in done.out
    assert namespaces(project) >= NAMESPACES
    secrets = [project.env[name] for name in ("AIRFLOW_PASSWORD", "AWS_SECRET_ACCESS_KEY")]
    assert not [secret for secret in secrets if secret in done.out + done.err]


def test_logs_are_in_the_store_and_no_pod_of_a_task_is_left(project: Project) -> None:
    server = ("--namespace", "airflow-staging", "exec", "deployment/airflow-api-server", "--")
    keys = kubectl(project, *server, "python", "-c", LIST_LOGS).split()
    for task in ("ingest", "train", "map"):
        assert [key for key in keys if f"task_id={task}/" in key], keys
    pods = kubectl(project, "--namespace", "science-staging", "get", "pods", "--output=name")
    assert all(name.startswith(("pod/mlflow-", "pod/serving-")) for name in pods.split())


def test_it_is_removed_and_the_repository_is_as_before(project: Project) -> None:
    done = minikube(project, "production", "--remove")
    assert done.code == 0, done
    assert not namespaces(project) & NAMESPACES
    git = local["git"]["-C", project.root]
    assert git("status", "--porcelain") == ""
    assert git("branch", "--all", "--list", "*deploy*") == ""
    images = local["docker"]("images", "--format", "{{.Repository}}")
    assert f"{project.env['COMPOSE_PROJECT_NAME']}-rehearsal" not in images
