"""`doctor prod` at a real cluster: what it answers about rights and pods, and what a pod finds.

The cluster is the one in GAIAFLOW_TEST_KUBECONFIG, whose nodes have the image that
GAIAFLOW_TEST_IMAGE names, as tests/stack/test_modes.py makes it from this commit. Neither Airflow
nor MLflow nor a store is there: a pod that sleeps stands where the dag-processor would be.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.stack.conftest import Project, execute, wait_for

from .conftest import HERE, Generate
from .team import Repository
from .test_cluster import kubeconfig

__all__ = ["kubeconfig"]

pytestmark = pytest.mark.cluster

# Of stage.py.
TASKS, AIRFLOW = "gaiaflow-test-science", "gaiaflow-test-airflow"
CANARY = "canary-value-of-a-secret"
IMAGE_FILE = Path("deploy", "release", "image")


@dataclass(frozen=True)
class Doctor:
    """The command in a project, and a cluster."""

    project: Project
    repository: Repository
    kubeconfig: str
    python: Path

    def deploy(self, image: str) -> None:
        """As `deploy`, but with an image that has no digest: it is in no registry."""
        file = self.repository.root / IMAGE_FILE
        file.write_text(f"{image}\n", encoding="utf-8")
        self.repository.push("Deploy v1")
        self.repository.git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/deploy/prod")

    def find(self) -> dict[str, dict[str, str]]:
        """The findings of `doctor prod`, by check; no pod is left."""
        done = self.project.manage("doctor", "prod", "--json", KUBECONFIG=self.kubeconfig)
        assert done.code in {0, 1} and done.out, done
        assert CANARY not in f"{done.out}{done.err}"
        wait_for(lambda: self.ask("pods").strip() == "0")
        return {one["check"]: one for one in json.loads(done.out)}

    def ask(self, *arguments: str) -> str:
        done = execute(self.python, HERE / "stage.py", self.kubeconfig, *arguments, cwd=HERE)
        assert done.code == 0, done
        return done.out


@pytest.fixture(scope="module")
def doctor(
    kubeconfig: str, environment: Path, generate: Generate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Doctor]:
    folder, python = tmp_path_factory.mktemp("doctor"), environment / "bin" / "python"
    project, _ = generate("ill", package_name="forest_watch", deploy="kubernetes")
    for path in (project.root / "deploy").rglob("*.*"):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if "science-prod" in text or "airflow-prod" in text:
            named = text.replace("science-prod", TASKS).replace("airflow-prod", AIRFLOW)
            path.write_text(named, encoding="utf-8")
    repository = Repository("ill", project.root, folder, python)
    repository.push("a stage")
    doctor = Doctor(project, repository, kubeconfig, python)
    image = os.environ["GAIAFLOW_TEST_IMAGE"]
    try:
        doctor.ask("make", str(project.root), image)
        doctor.deploy(image)
        yield doctor
    finally:
        doctor.ask("delete")


def test_a_real_cluster(doctor: Doctor) -> None:
    found = wait_for(lambda: ready(doctor.find()), 120)
    good = [
        *("branch", "context", "api-server", "clock", "namespaces", "my-rights", "launcher"),
        *("secrets", "pod-security", "profile", "quota", "limit-range", "pod"),
    ]
    assert {check: found[check]["level"] for check in good} == dict.fromkeys(good, "ok"), found
    assert "has no deployment mlflow, serving" in found["servers"]["found"]
    assert "scheduler has no pod" in found["airflow"]["found"]
    # A command was run there, by an image that is not Airflow's.
    assert "apache-airflow" in found["bundle"]["found"], found["bundle"]
    assert f"mlflow.{TASKS}.svc" in found["pod-dns"]["found"]
    assert found["pod-dns"]["level"] == "problem" and "pod-clock" in found


def ready(found: dict[str, dict[str, str]]) -> dict[str, dict[str, str]] | None:
    """The findings, once the pod that sleeps is there."""
    return found if "bundle" in found else None


def test_an_image_that_is_not_there(doctor: Doctor) -> None:
    doctor.deploy("localhost:1/team/nothing:v1")
    found = doctor.find()["pod"]
    assert found["level"] == "problem" and "can't get the image" in found["found"], found
    assert "--docker-server=localhost:1" in found["fix"]


def test_an_account_that_is_not_there(doctor: Doctor) -> None:
    profile = '\n[tool.gaiaflow.resources.default]\nservice_account = "nobody"\n'
    with (doctor.repository.root / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(profile)
    doctor.deploy(os.environ["GAIAFLOW_TEST_IMAGE"])
    found = doctor.find()
    assert found["service-account"]["level"] == "problem"
    assert "the pod's account is missing" in found["pod"]["found"], found["pod"]


def test_a_quota_that_is_used_up(doctor: Doctor) -> None:
    doctor.ask("quota")

    def full() -> dict[str, dict[str, str]] | None:
        found = doctor.find()
        return found if found["quota"]["level"] == "problem" else None

    found = wait_for(full)
    assert "of pods 0" in found["quota"]["found"]
    assert "quota" in found["pod"]["found"] or "account" in found["pod"]["found"]
