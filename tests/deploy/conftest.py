"""deploy/ of a generated project, as text and as Helm and Kustomize render it.

Helm renders it if it is there and GAIAFLOW_TEST_CHART names a folder with the official chart:

    helm pull airflow --repo https://airflow.apache.org --version 1.22.0 --untar -d /tmp
    GAIAFLOW_TEST_CHART=/tmp/airflow python -m pytest tests/deploy
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Template
from plumbum import local

TEMPLATE = Path(__file__).parents[2] / "template"
IMAGE = f"registry.example.com/team/forest@sha256:{'1' * 64}"
STAGES = ("staging", "prod")

# Where the chart would take a secret itself.
TAKE_SECRETS = (
    *("fernetKey", "apiSecretKey", "jwtSecret", "redis.password", "postgresql.auth.password"),
    *("data.metadataConnection.user", "data.metadataConnection.pass", "data.brokerUrl"),
)

Objects = list[dict[str, Any]]
Render = Callable[..., str]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on one of its deployment branches; only what matters here."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("deploy", "gaiaflow/minikube"):
        compiled = shutil.ignore_patterns("__pycache__")  # which others write now
        shutil.copytree(TEMPLATE / folder, root / folder, ignore=compiled)
    for file in root.rglob("*.jinja"):
        text = Template(file.read_text(encoding="utf-8")).render(package_name="forest_watch")
        file.with_suffix("").write_text(text + "\n", encoding="utf-8")
        file.unlink()
    (root / "deploy" / "release" / "image").write_text(f"{IMAGE}\n", encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def official() -> Path:
    """The official chart."""
    folder = os.environ.get("GAIAFLOW_TEST_CHART")
    if not folder:
        pytest.skip("GAIAFLOW_TEST_CHART does not name a folder with Airflow's chart")
    return Path(folder)


@pytest.fixture(scope="session")
def helm(official: Path, project: Path) -> Render:
    """Render Airflow for a stage; further arguments are Helm's."""
    if not shutil.which("helm"):
        pytest.skip("helm is not there")
    values = project / "deploy" / "airflow"

    def render(stage: str, *arguments: str) -> str:
        files = (f"--values={values / name}" for name in ("values.yaml", f"values-{stage}.yaml"))
        command = local["helm"]["template", "airflow", official, f"--namespace=airflow-{stage}"]
        return str(command(*files, *arguments))

    return render


@pytest.fixture(scope="session", params=STAGES)
def stage(request: pytest.FixtureRequest) -> str:
    """Each of the two in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def airflow(helm: Render, stage: str) -> Objects:
    """Airflow's objects."""
    return objects(helm(stage))


@pytest.fixture(scope="session")
def kustomize() -> Render:
    """Render a folder."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not there")
    return lambda folder: str(local["kubectl"]("kustomize", folder))


@pytest.fixture(scope="session")
def science(kustomize: Render, project: Path, stage: str) -> Objects:
    """The project's objects."""
    return objects(kustomize(project / "deploy" / f"project-{stage}"))


def objects(text: str) -> Objects:
    """The objects of a manifest."""
    return [each for each in yaml.safe_load_all(text) if each]


def only(found: Objects, kind: str, name: str) -> dict[str, Any]:
    """The object with this name."""
    [one] = [each for each in found if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return one


def pods(found: Objects) -> dict[str, dict[str, Any]]:
    """The pods' templates, by the names of the objects that make them."""
    templates = {}
    for each in found:
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "containers" in spec.get("template", {}).get("spec", {}):
            templates[each["metadata"]["name"]] = spec["template"]
    return templates


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """All containers of a pod's template."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def secrets(pod: dict[str, Any]) -> set[str]:
    """The names of the secrets that a pod needs."""
    sources = [source for each in containers(pod) for source in each.get("envFrom", [])]
    sources += [
        {"secretRef": variable["valueFrom"]["secretKeyRef"]}
        for each in containers(pod)
        for variable in each.get("env", [])
        if "secretKeyRef" in variable.get("valueFrom", {})
    ]
    named = {source["secretRef"]["name"] for source in sources if "secretRef" in source}
    volumes = pod["spec"].get("volumes", [])
    return named | {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
