"""Check that Airflow's components run."""

from __future__ import annotations

from gaiaflow.cluster.subject import Json, Subject, component, is_ready
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding

_COMPONENTS = ("scheduler", "triggerer", "dag-processor", "api-server")


def airflow(subject: Subject) -> Finding | None:
    """Check that each of Airflow's components has a pod that is ready."""
    stage = subject.stage
    if not subject.inside(stage.airflow):
        return None
    pods = subject.airflow_pods
    if not pods:
        fix = (
            "# Install the chart, with Argo CD, Flux or Helm: docs, How-to, Airflow on a cluster.\n"
            f"helm status airflow --namespace {stage.airflow}"
        )
        return Finding("airflow", PROBLEM, f"{stage.airflow} has no pods of Airflow", fix)
    down, ailing = [], []
    for name in _COMPONENTS:
        own = [pod for pod in pods if component(pod) == name]
        if not any(map(is_ready, own)):
            down.append(f"{name} {_why(own)}")
        elif not all(map(is_ready, own)):
            ailing.append(f"one of {len(own)} {name} {_why([p for p in own if not is_ready(p)])}")
    look = f"kubectl get pods --namespace {stage.airflow}\n"
    if down or ailing:
        name = (down or ailing)[0].removeprefix("one of ").lstrip("0123456789 ").split()[0]
        look += f"kubectl describe pods --namespace {stage.airflow} --selector component={name}\n"
        look += f"kubectl logs --namespace {stage.airflow} --selector component={name} --tail 50"
    if down:
        return Finding("airflow", PROBLEM, "; ".join([*down, *ailing]), look)
    if ailing:
        return Finding("airflow", WARNING, "; ".join(ailing), look)
    return Finding("airflow", OK, f"{', '.join(_COMPONENTS)} are ready")


def _why(pods: list[Json]) -> str:
    """Why none of these pods is ready."""
    if not pods:
        return "has no pod"
    status = pods[0].get("status", {})
    for one in status.get("containerStatuses") or []:
        if waiting := one.get("state", {}).get("waiting"):
            return f"is not ready: {waiting.get('reason')}"
    for one in status.get("conditions") or []:
        if one.get("reason") == "Unschedulable":
            return f"is not ready: {one.get('message')}"
    return "is not ready"
