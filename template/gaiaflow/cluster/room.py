"""Check that the namespace of tasks has room for a task with the profile `default`."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from gaiaflow.cluster.subject import Json, Subject
from gaiaflow.doctor.finding import OK, PROBLEM, Finding


def profile(subject: Subject) -> Finding | None:
    """Check that the release can make the pod of a task that asks for nothing; say what it gets."""
    pod = subject.manifest if subject.answers else None
    if subject.manifest_trouble:
        what = f"the release can't make a task's pod: {subject.manifest_trouble}"
        return Finding("profile", PROBLEM, what, "# Fix it, then release and deploy again.")
    if not pod:
        return None
    spec = pod["spec"]
    requests = spec["containers"][0]["resources"]["requests"]
    parts = [f"{name} {amount}" for name, amount in requests.items()]
    parts += [f"{name}={value}" for name, value in (spec.get("nodeSelector") or {}).items()]
    return Finding("profile", OK, f"a task gets {', '.join(parts)}")


def quota(subject: Subject) -> Finding | None:
    """Check that the quotas let one more pod in."""
    stage = subject.stage
    if not (api := subject.inside(stage.tasks)) or not (pod := subject.manifest):
        return None
    quotas = api.items(f"/api/v1/namespaces/{stage.tasks}/resourcequotas")
    needed = _needed(pod)
    for found in quotas:
        name, status = found["metadata"]["name"], found.get("status", {})
        if found.get("spec", {}).get("scopes") or found.get("spec", {}).get("scopeSelector"):
            continue  # for some pods only; the pod below shows whether for ours
        for resource, hard in (status.get("hard") or {}).items():
            used = parse_quantity(status.get("used", {}).get(resource, "0"))
            need = needed.get(resource, Decimal(0))
            if need and used + need > parse_quantity(hard):
                what = f"{name} in {stage.tasks} lacks room for a task: of {resource} {hard}, "
                what += f"{used:f} is used, and a task needs {need:f}"
                fix = (
                    f"kubectl describe resourcequota {name} --namespace {stage.tasks}\n"
                    "# Wait for tasks to end, have it raised, or ask for less in `default`."
                )
                return Finding("quota", PROBLEM, what, fix)
    names = ", ".join(found["metadata"]["name"] for found in quotas)
    return Finding("quota", OK, f"{names} has room for a task" if names else "there is none")


def limit_range(subject: Subject) -> Finding | None:
    """Check that no limit range refuses the containers of a task."""
    stage = subject.stage
    if not (api := subject.inside(stage.tasks)) or not (pod := subject.manifest):
        return None
    ranges = api.items(f"/api/v1/namespaces/{stage.tasks}/limitranges")
    for found in ranges:
        for limit in found.get("spec", {}).get("limits") or []:
            if why := next(_refusals(limit, pod), None):
                name = found["metadata"]["name"]
                fix = (
                    f"kubectl describe limitrange {name} --namespace {stage.tasks}\n"
                    "# Have it changed, or set cpu and memory of the profile `default`."
                )
                what = f"{name} in {stage.tasks} refuses a task: {why}"
                return Finding("limit-range", PROBLEM, what, fix)
    names = ", ".join(found["metadata"]["name"] for found in ranges)
    return Finding("limit-range", OK, f"{names} lets a task in" if names else "there is none")


def _refusals(limit: Json, pod: Json) -> Iterator[str]:
    """Why a limit of a limit range refuses a pod."""
    containers = pod["spec"]["containers"]
    if limit.get("type") == "Container":
        parts = [(one["name"], one.get("resources") or {}) for one in containers]
    elif limit.get("type") == "Pod":
        total = {kind: _total(containers, kind) for kind in ("requests", "limits")}
        parts = [("the pod", total)]
    else:
        return
    for name, resources in parts:
        for resource, most in (limit.get("max") or {}).items():
            has = resources.get("limits", {}).get(resource)
            if has is not None and parse_quantity(has) > parse_quantity(most):
                yield f"{resource} of {name} is {has}, more than {most}"
        for resource, least in (limit.get("min") or {}).items():
            has = resources.get("requests", {}).get(resource)
            if has is not None and parse_quantity(has) < parse_quantity(least):
                yield f"{resource} of {name} is {has}, less than {least}"
        for resource, most in (limit.get("maxLimitRequestRatio") or {}).items():
            limits, requests = resources.get("limits", {}), resources.get("requests", {})
            if resource in limits and resource in requests:
                ratio = parse_quantity(limits[resource]) / parse_quantity(requests[resource])
                if ratio > parse_quantity(most):
                    yield f"{resource} of {name} has a limit of {ratio:f} times its request"


def _needed(pod: Json) -> dict[str, Decimal]:
    """What a pod needs, by the names that quotas use."""
    containers = pod["spec"]["containers"]
    needed = {"pods": Decimal(1), "count/pods": Decimal(1)}
    for kind in ("requests", "limits"):
        for resource, amount in _total(containers, kind).items():
            needed[f"{kind}.{resource}"] = amount
            if kind == "requests":
                needed[resource] = amount  # "cpu" in a quota is "requests.cpu"
    return needed


def _total(containers: list[Json], kind: str) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for one in containers:
        for resource, amount in (one.get("resources") or {}).get(kind, {}).items():
            total[resource] = total.get(resource, Decimal(0)) + parse_quantity(amount)
    return total
