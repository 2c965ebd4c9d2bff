"""Check the project's own servers: MLflow and predictions."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from gaiaflow.cluster.subject import Json, Subject
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding

_NAMES = ("mlflow", "serving")


def servers(subject: Subject) -> Finding | None:
    """Check that both have a pod that is ready, and that predictions run the release's image."""
    stage = subject.stage
    if not (api := subject.inside(stage.tasks)):
        return None
    path = f"/apis/apps/v1/namespaces/{stage.tasks}/deployments"
    found = {name: api.find(f"{path}/{name}") for name in _NAMES}
    if not _has_own_mlflow(subject):
        del found["mlflow"]
    if missing := [name for name, one in found.items() if one is None]:
        what = f"{stage.tasks} has no deployment {', '.join(missing)}"
        fix = f"kubectl apply -k deploy/project-{stage.name}    # on {stage.branch}"
        return Finding("servers", PROBLEM, what, fix)
    there = {name: one for name, one in found.items() if one is not None}
    if down := [name for name, one in there.items() if not one["status"].get("readyReplicas")]:
        label = f"app.kubernetes.io/name={down[0]}"
        fix = (
            f"kubectl describe pods --namespace {stage.tasks} --selector {label}\n"
            f"kubectl logs --namespace {stage.tasks} --selector {label} --tail 50"
        )
        return Finding("servers", PROBLEM, f"no pod of {', '.join(down)} is ready", fix)
    deployed = subject.deployment
    others = [image for image in _images(there["serving"]) if deployed and image != deployed.image]
    if others and deployed and deployed.image:
        what = f"serving runs {others[0]}, but {stage.branch} has {deployed.image}"
        fix = (
            "# Argo CD and Flux change that by themselves; by hand:\n"
            f"kubectl apply -k deploy/project-{stage.name}    # on {stage.branch}"
        )
        return Finding("servers", WARNING, what, fix)
    return Finding("servers", OK, f"{' and '.join(there)} are ready")


def _has_own_mlflow(subject: Subject) -> bool:
    """Whether tasks use the MLflow of deploy/mlflow, not one elsewhere."""
    host = urlsplit(subject.settings.get("MLFLOW_TRACKING_URI", "")).hostname or ""
    return host == "mlflow" or host.startswith(f"mlflow.{subject.stage.tasks}")


def _images(deployment: Json) -> Iterator[str]:
    for one in deployment["spec"]["template"]["spec"]["containers"]:
        yield str(one["image"])
