"""Check the accounts: those of Airflow that make pods, and that of the pods."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from gaiaflow.cluster.api import Api, Json, Refused
from gaiaflow.cluster.profile import default_profile
from gaiaflow.cluster.subject import Subject
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
# What a broader role than ours usually has.
_TOO_MUCH = (
    ("get", "secrets"),
    ("create", "roles.rbac.authorization.k8s.io"),
    ("delete", "deployments.apps"),
)


def launcher(subject: Subject) -> Finding | None:
    """Check that Airflow's accounts may do what deploy/tasks/launcher.yaml says, and no more."""
    stage = subject.stage
    if not (api := subject.inside(stage.tasks)):
        return None
    try:
        lacking, broader = _asked(api, subject), _asked(api, subject, too_much=True)
    except Refused:
        return _compared(api, subject)
    apply = f"kubectl apply -k deploy/project-{stage.name}    # on {stage.branch}"
    if lacking:
        what = f"Airflow's accounts may not do what tasks need in {stage.tasks}: {_listed(lacking)}"
        fix = f"{apply}\n# Helm's release must be named airflow: that names the accounts."
        return Finding("launcher", PROBLEM, what, fix)
    if broader:
        what = (
            f"Airflow's accounts may do more than tasks need in {stage.tasks}: {_listed(broader)}"
        )
        fix = f"# Find the other role.\nkubectl get rolebindings --namespace {stage.tasks} -o wide"
        return Finding("launcher", WARNING, what, fix)
    names = ", ".join(name for _, name in stage.launchers)
    return Finding("launcher", OK, f"{names} may make pods in {stage.tasks}, and no more")


def service_account(subject: Subject) -> Finding | None:
    """Check that the account of the profile `default` exists."""
    stage = subject.stage
    name = default_profile(stage.folder).get("service_account")
    if not name or not (api := subject.inside(stage.tasks)):
        return None
    if api.find(f"/api/v1/namespaces/{stage.tasks}/serviceaccounts/{name}"):
        return Finding("service-account", OK, f"{name} exists")
    fix = (
        f"kubectl create serviceaccount {name} --namespace {stage.tasks}\n"
        "# Then give it the cloud's role, usually by an annotation."
    )
    what = f"there is no {name} in {stage.tasks}, which the profile `default` names"
    return Finding("service-account", PROBLEM, what, fix)


def _asked(api: Api, subject: Subject, too_much: bool = False) -> list[tuple[str, str, str]]:
    """What the accounts may not do but should, or may do but should not: who, verb, resource."""
    stage = subject.stage
    rights = _TOO_MUCH if too_much else tuple(_rights(stage.role))
    users = [f"system:serviceaccount:{namespace}:{name}" for namespace, name in stage.launchers]
    wanted = [(user, verb, resource) for user in users for verb, resource in rights]
    with ThreadPoolExecutor(max_workers=8) as pool:
        allowed = pool.map(lambda one: api.may(stage.tasks, one[1], one[2], one[0]), wanted)
        return [
            one for one, is_allowed in zip(wanted, allowed, strict=True) if is_allowed == too_much
        ]


def _compared(api: Api, subject: Subject) -> Finding:
    """Compare role and binding with the files: for people who may not ask about others' rights."""
    stage = subject.stage
    namespaced = f"{_RBAC}/namespaces/{stage.tasks}"
    role = api.find(f"{namespaced}/roles/{stage.role['metadata']['name']}")
    binding = api.find(f"{namespaced}/rolebindings/{stage.binding['metadata']['name']}")
    apply = f"kubectl apply -k deploy/project-{stage.name}    # on {stage.branch}"
    if role is None or binding is None:
        kind = "role" if role is None else "role binding"
        what = f"{stage.tasks} has no {kind} launcher: Airflow can't make pods"
        return Finding("launcher", PROBLEM, what, apply)
    if set(_rights(stage.role)) != set(_rights(role)):
        what = f"the role launcher in {stage.tasks} is not that of deploy/tasks/launcher.yaml"
        return Finding("launcher", PROBLEM, what, apply)
    bound = {(one.get("namespace"), one["name"]) for one in binding.get("subjects") or []}
    if missing := set(stage.launchers) - bound:
        names = ", ".join(f"{namespace}:{name}" for namespace, name in sorted(missing))
        what = f"the role launcher in {stage.tasks} is not bound to {names}"
        return Finding("launcher", PROBLEM, what, apply)
    return Finding("launcher", OK, "role and binding are those of deploy/tasks/launcher.yaml")


def _rights(role: Json) -> list[tuple[str, str]]:
    return [
        (verb, resource)
        for rule in role.get("rules") or []
        for resource in rule.get("resources") or []
        for verb in rule.get("verbs") or []
    ]


def _listed(rights: list[tuple[str, str, str]]) -> str:
    shown = [f"{user.rpartition(':')[2]} {verb} {resource}" for user, verb, resource in rights[:4]]
    more = [f"{len(rights) - 4} more"] if len(rights) > 4 else []
    return ", ".join([*shown, *more])
