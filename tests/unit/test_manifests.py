"""Kubernetes accepts our manifests, as far as its schemas say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.kubernetes.releases import RELEASES

MINIKUBE = Path(__file__).parents[2] / "template" / "gaiaflow" / "minikube"


@pytest.fixture(scope="module")
def serving() -> dict[str, Any]:
    """The objects of serving by kind."""
    text = (MINIKUBE / "serving.yaml").read_text(encoding="utf-8")
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


@pytest.mark.parametrize("release", RELEASES)
def test_schemas(serving: dict[str, Any], release: str) -> None:
    assert set(serving) == {
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
    }
    for each in serving.values():
        kubernetes_validate.validate(each, release, strict=True)


def test_everything_finds_the_pods(serving: dict[str, Any]) -> None:
    deployment = serving["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
    assert serving["Service"]["spec"]["selector"].items() <= labels
    assert serving["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels
    target = serving["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])


def test_pods_may_do_no_more_than_they_must(serving: dict[str, Any]) -> None:
    pod = serving["Deployment"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
