"""The project's own part of a stage in a rehearsal: MLflow, predictions, the namespace of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gaiaflow.cluster.stage import Stage
from gaiaflow.project.project import Project
from gaiaflow.rehearsal.programs import Kubectl
from gaiaflow.rehearsal.servers import STORE

_CONTAINER = "/spec/template/spec/containers/0"


def install(kubectl: Kubectl, stage: Stage, project: Project, mlflow_image: str) -> None:
    """Create what Kustomize makes of the stage's folder, with a few values changed.

    Args:
        kubectl: the cluster.
        stage: its folder gets one more overlay.
        project: whose settings to use.
        mlflow_image: of MLflow.

    Raises:
        GaiaflowError: kubectl failed.
    """
    folder = stage.folder / "deploy" / "project-rehearsal"
    folder.mkdir(exist_ok=True)
    text = yaml.safe_dump(overlay(stage, project, mlflow_image), sort_keys=False)
    Path(folder, "kustomization.yaml").write_text(text, encoding="utf-8")
    kubectl("apply", "--server-side", "--force-conflicts", "--kustomize", str(folder))


def overlay(stage: Stage, project: Project, mlflow_image: str) -> dict[str, Any]:
    """A Kustomize overlay of the stage's own: other servers, less CPU, another image."""
    servers = [f"AWS_ENDPOINT_URL={STORE}", f"S3_BUCKET={project.env['S3_BUCKET']}"]
    little = [{"op": "add", "path": f"{_CONTAINER}/resources/requests/cpu", "value": "50m"}]
    image = [{"op": "replace", "path": f"{_CONTAINER}/image", "value": mlflow_image}]
    return {
        "namespace": stage.tasks,
        "resources": [f"../project-{stage.name}"],
        "configMapGenerator": [
            {"name": name, "behavior": "merge", "literals": servers}
            for name in ("servers", "serving")
        ],
        "replicas": [{"name": "serving", "count": 0}],  # until there is a champion
        "patches": [
            {"target": {"kind": "Deployment"}, "patch": yaml.safe_dump(little)},
            {"target": {"kind": "Deployment", "name": "mlflow"}, "patch": yaml.safe_dump(image)},
        ],
    }
