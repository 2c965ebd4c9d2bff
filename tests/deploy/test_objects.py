"""What Helm and Kustomize render: valid, unprivileged, without secrets, and it can talk."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from plumbum import ProcessExecutionError, local

from gaiaflow.project.clients import CREDENTIALS

from tests.deploy.conftest import (
    IMAGE,
    STAGES,
    TAKE_SECRETS,
    Objects,
    Render,
    containers,
    objects,
    only,
    pods,
    secrets,
)
from tests.kubernetes.releases import RELEASES

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "airflow-on-a-cluster.md"
DOCUMENTED = set(re.findall(r"^\| `([a-z-]+)` \|", HOW_TO.read_text(encoding="utf-8"), re.M))

CANARY = "canary-9f3b"
SECRETS = (
    *CREDENTIALS,
    *("SERVING_KEY", "MLFLOW_BACKEND_STORE_URI", "AIRFLOW_CONN_LOGS", "GITHUB_TOKEN"),
    *("PROD_MLFLOW_TRACKING_PASSWORD", "STAGING_MLFLOW_TRACKING_TOKEN"),
)


@pytest.fixture(params=["airflow", "science"])
def rendered(request: pytest.FixtureRequest, stage: str) -> Objects:
    found: Objects = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("release", RELEASES)
def test_schemas(rendered: Objects, release: str) -> None:
    for each in rendered:
        kubernetes_validate.validate(each, release, strict=True)


def test_pods_are_restricted(rendered: Objects) -> None:
    """As the Pod Security Standard of that name wants it, and a little more."""
    for name, pod in pods(rendered).items():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        kinds = {kind for volume in spec.get("volumes", []) for kind in set(volume) - {"name"}}
        assert kinds <= {"configMap", "emptyDir", "secret"}, name
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert container["resources"]["limits"]["memory"], name


def test_every_secret_is_documented(rendered: Objects) -> None:
    named = {name for pod in pods(rendered).values() for name in secrets(pod)}
    assert named, "pods need secrets"
    assert named <= DOCUMENTED
    assert not [each for each in rendered if each["kind"] == "Secret"]


@pytest.fixture
def planted(project: Path, tmp_path: Path) -> Iterator[Path]:
    """The project with a canary for every secret, in `.env` and in the environment."""
    copy = shutil.copytree(project, tmp_path / "copy")
    for folder in (copy, *(copy / "deploy" / f"project-{stage}" for stage in STAGES)):
        text = "".join(f"{name}={CANARY}\n" for name in SECRETS)
        (folder / ".env").write_text(text, encoding="utf-8")
    with local.env(**dict.fromkeys(SECRETS, CANARY)):  # older releases of Kustomize look there
        yield copy


def test_kustomize_renders_no_secret(planted: Path, kustomize: Render, stage: str) -> None:
    assert CANARY not in kustomize(planted / "deploy" / f"project-{stage}")


def test_helm_renders_no_secret(planted: Path, helm: Render, stage: str) -> None:
    assert CANARY not in helm(stage)


def test_selectors_find_pods(rendered: Objects) -> None:
    labels = [pod["metadata"]["labels"] for pod in pods(rendered).values()]
    for each in rendered:
        spec = each.get("spec", {})
        if each["kind"] == "Service":
            wanted = spec["selector"]
        elif each["kind"] == "PodDisruptionBudget":
            wanted = spec["selector"]["matchLabels"]
        elif each["kind"] == "NetworkPolicy":
            wanted = spec["podSelector"].get("matchLabels", {})
        else:
            continue
        assert any(wanted.items() <= known.items() for known in labels), each["metadata"]["name"]


# --- Airflow -------------------------------------------------------------------------------------
def test_no_secret_comes_from_the_chart(helm: Render, stage: str) -> None:
    """Values in which the chart would take secrets are planted; none of them is rendered."""
    text = helm(stage, *(f"--set={name}=canary" for name in TAKE_SECRETS))
    assert "canary" not in text


def test_nothing_of_the_official_image_is_needed(airflow: Objects) -> None:
    assert not re.search(r"/entrypoint|/clean-logs|dumb-init", json.dumps(pods(airflow)))


def test_airflow_reaches_its_api_and_its_database(airflow: Objects) -> None:
    """The chart's policy for the API server lets nobody in by itself."""
    ours = {"tier": "airflow", "release": "airflow"}
    for name, port in (("api-server", 8080), ("pgbouncer", 6543)):
        [rule] = only(airflow, "NetworkPolicy", f"airflow-{name}-policy")["spec"]["ingress"]
        assert {"podSelector": {"matchLabels": ours}} in rule["from"]
        assert port in [each["port"] for each in rule["ports"]]
    ours_only = [name for name, pod in pods(airflow).items() if not _has(pod, ours)]
    assert ours_only == []


def _has(pod: dict[str, Any], labels: dict[str, str]) -> bool:
    known: dict[str, str] = pod["metadata"]["labels"]
    return labels.items() <= known.items()


def test_settings(airflow: Objects, stage: str) -> None:
    config = ConfigParser(interpolation=None)
    config.read_string(only(airflow, "ConfigMap", "airflow-config")["data"]["airflow.cfg"])
    assert config["core"]["executor"] == "LocalExecutor"
    assert "simple" not in config["core"]["auth_manager"]
    assert config["logging"]["remote_base_log_folder"].startswith("s3://")
    [bundle] = json.loads(config["dag_processor"]["dag_bundle_config_list"])
    assert bundle["kwargs"]["tracking_ref"] == f"deploy/{stage}"
    assert "repo_url" not in bundle["kwargs"]


def test_the_login_is_python(airflow: Objects) -> None:
    text = only(airflow, "ConfigMap", "airflow-api-server-config")["data"]["webserver_config.py"]
    compile(text, "webserver_config.py", "exec")
    [server] = pods(airflow)["airflow-api-server"]["spec"]["containers"]
    given = {each["name"] for each in server["env"]}
    assert set(re.findall(r'os\.environ\["(\w+)"\]', text)) <= given


def test_only_those_that_make_pods_have_an_account(airflow: Objects) -> None:
    with_token = {
        each["metadata"]["name"]
        for each in airflow
        if each["kind"] == "ServiceAccount"
        and each.get("automountServiceAccountToken") is not False
    }
    assert with_token == {"airflow-scheduler", "airflow-triggerer"}
    assert not [each for each in airflow if each["kind"] == "Role" and each["rules"]]


# --- The project ---------------------------------------------------------------------------------
def test_the_launchers_are_airflows(science: Objects, stage: str) -> None:
    binding = only(science, "RoleBinding", "launcher")
    assert {(each["namespace"], each["name"]) for each in binding["subjects"]} == {
        (f"airflow-{stage}", "airflow-scheduler"),
        (f"airflow-{stage}", "airflow-triggerer"),
    }
    assert binding["metadata"]["namespace"] == f"science-{stage}"


def test_airflow_and_the_project_agree(airflow: Objects, science: Objects) -> None:
    """On where tasks run, and on their servers."""
    [scheduler] = pods(airflow)["airflow-scheduler"]["spec"]["containers"]
    airflows = {each["name"]: each.get("value") for each in scheduler["env"]}
    [namespace] = [each for each in science if each["kind"] == "Namespace"]
    assert airflows["GAIAFLOW_NAMESPACE"] == namespace["metadata"]["name"]
    [servers] = _config(science, "servers")
    for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "S3_BUCKET"):
        assert servers[name] == airflows[name]
    service = only(science, "Service", "mlflow")
    [port] = service["spec"]["ports"]
    address = f"http://mlflow.{service['metadata']['namespace']}.svc:{port['port']}"
    assert airflows["MLFLOW_TRACKING_URI"] == address


def test_images_have_digests(science: Objects) -> None:
    images = {name: pod["spec"]["containers"][0]["image"] for name, pod in pods(science).items()}
    assert images["serving"] == IMAGE
    assert re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", images["mlflow"])


def test_config_maps_are_there(science: Objects) -> None:
    for name, pod in pods(science).items():
        for container in containers(pod):
            for source in container["envFrom"]:
                if "configMapRef" in source:
                    [known] = _config(science, source["configMapRef"]["name"])
                    used = set(re.findall(r"\$\((\w+)\)", json.dumps(container)))
                    assert used <= set(known), name


def _config(science: Objects, start: str) -> Iterable[dict[str, str]]:
    return [
        each["data"]
        for each in science
        if each["kind"] == "ConfigMap" and each["metadata"]["name"].startswith(start)
    ]


def test_tasks_let_nobody_in(science: Objects) -> None:
    policy = only(science, "NetworkPolicy", "default-deny")["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress"]}


def test_without_a_release_nothing_is_rendered(
    kustomize: Render, project: Path, tmp_path: Path, stage: str
) -> None:
    """It must not start with an image that nobody has named."""
    copy = shutil.copytree(project, tmp_path / "copy")
    (copy / "deploy" / "release" / "image").unlink()
    with pytest.raises(ProcessExecutionError, match="image"):
        kustomize(copy / "deploy" / f"project-{stage}")


def test_flux_gets_the_same_values(kustomize: Render, project: Path) -> None:
    folder = project / "deploy" / "airflow"
    [values] = objects(kustomize(folder))
    assert set(values["data"]) == {each.name for each in folder.glob("values*.yaml")}
