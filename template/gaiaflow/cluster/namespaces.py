"""Check the stage's namespaces, and what whoever is logged in may do there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from gaiaflow.cluster.subject import Subject
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding

_LEVEL = "pod-security.kubernetes.io/enforce"
# What the checks need: verb and resource.
_NEEDED = {
    "tasks": (
        ("create", "pods"),
        ("get", "pods"),
        ("delete", "pods"),
        ("get", "pods/log"),
        ("list", "events"),
        ("get", "secrets"),
        ("get", "serviceaccounts"),
        ("list", "resourcequotas"),
        ("list", "limitranges"),
        ("get", "deployments.apps"),
    ),
    "airflow": (
        ("list", "pods"),
        ("get", "pods/exec"),
        ("create", "pods/exec"),
        ("get", "secrets"),
    ),
    "": (("get", "namespaces"),),
}


def namespaces(subject: Subject) -> Finding | None:
    """Check that both namespaces exist."""
    if not subject.answers:
        return None
    stage = subject.stage
    if not subject.missing:
        return Finding("namespaces", OK, f"{stage.airflow}, {stage.tasks}")
    fix = []
    if stage.tasks in subject.missing:
        fix.append(f"kubectl apply -k deploy/project-{stage.name}    # on {stage.branch}")
    if stage.airflow in subject.missing:
        fix.append(f"kubectl create namespace {stage.airflow}")
        fix.append(f"kubectl label namespace {stage.airflow} {_LEVEL}=restricted")
    what = f"{subject.answers.context} lacks {', '.join(sorted(subject.missing))}"
    return Finding("namespaces", PROBLEM, what, "\n".join(fix))


def my_rights(subject: Subject) -> Finding | None:
    """Check that whoever is logged in may look at all that is examined."""
    if not (api := subject.answers):
        return None
    stage = subject.stage
    names = {"tasks": stage.tasks, "airflow": stage.airflow, "": ""}
    wanted = [(names[place], *one) for place, needed in _NEEDED.items() for one in needed]
    with ThreadPoolExecutor(max_workers=8) as pool:
        allowed = list(pool.map(lambda one: api.may(*one), wanted))
    lacking = [one for one, is_allowed in zip(wanted, allowed, strict=True) if not is_allowed]
    if not lacking:
        return Finding("my-rights", OK, "you may look at everything, and start a pod")
    where: dict[str, list[str]] = {}
    for namespace, verb, resource in lacking:
        where.setdefault(namespace or "the cluster", []).append(f"{verb} {resource}")
    what = "; ".join(f"in {name}: {', '.join(rights)}" for name, rights in where.items())
    fix = "# Some checks are left out. Ask whoever runs the cluster for these rights."
    return Finding("my-rights", WARNING, f"you may not, {what}", fix)


def pod_security(subject: Subject) -> Finding | None:
    """Check that the cluster enforces what our pods keep to."""
    stage = subject.stage
    if not subject.inside(stage.tasks) or not (api := subject.inside(stage.airflow)):
        return None
    lax = []
    for name in (stage.airflow, stage.tasks):
        found = api.get(f"/api/v1/namespaces/{name}")
        if (found["metadata"].get("labels") or {}).get(_LEVEL) != "restricted":
            lax.append(name)
    if not lax:
        return Finding("pod-security", OK, "restricted is enforced")
    fix = f"kubectl label --overwrite namespace {' '.join(lax)} {_LEVEL}=restricted"
    what = f"restricted is not enforced in {', '.join(lax)}: pods may run as root"
    return Finding("pod-security", WARNING, what, fix)
