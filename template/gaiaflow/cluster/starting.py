"""Why a pod of ours doesn't start, and what to do."""

from __future__ import annotations

import re

from gaiaflow.cluster.api import Api, Json, Refused
from gaiaflow.cluster.registries import registry
from gaiaflow.doctor.finding import PROBLEM, WARNING

BASE = "base"  # the container with the program
_PLACED = 60.0  # seconds for a node to be found, unless one is coming
_STARTED = 420.0  # seconds for that node to come, and for a large image to be pulled

_COMING = {"TriggeredScaleUp", "Nominated"}
_SECRET = re.compile(r'secret "([^"]+)" not found')
_KEY = re.compile(r"couldn't find key (\S+) in Secret \S*?/?(\S+)$")
_NO_SUCH_IMAGE = ("not found", "denied", "unauthorized", "InvalidImageName", "ErrImageNeverPull")


class Stuck(Exception):
    """A pod gives no report: what is wrong, and how to fix it."""

    def __init__(self, found: str, fix: str, level: str = PROBLEM) -> None:
        super().__init__(found)
        self.fix = fix
        self.level = level


def refused(error: Refused, wanted: Json) -> Stuck:
    """Why the cluster did not make a pod."""
    namespace, said = wanted["metadata"]["namespace"], str(error)
    if error.status == 403 and "cannot create resource" in said:
        fix = f"kubectl auth can-i create pods --namespace {namespace}"
        what = f"you may not start a pod in {namespace}, so nothing was seen from inside"
        return Stuck(what, fix, WARNING)
    if "exceeded quota" in said:
        fix = f"kubectl describe resourcequota --namespace {namespace}    # have it raised"
        return Stuck(f"the quota of {namespace} is used up: {said}", fix)
    if "violates PodSecurity" in said:
        fix = f"kubectl get namespace {namespace} --show-labels    # our pods pass restricted"
        return Stuck(f"pod security refuses the pod: {said}", fix)
    if "service account" in said or "serviceaccount" in said:
        fix = "# It is named by service_account of the profile `default` in pyproject.toml."
        return Stuck(f"the pod's account is missing: {said}", fix)
    fix = f"kubectl get limitranges,resourcequotas --namespace {namespace}"
    return Stuck(f"the cluster refused the pod: {said}", fix)


def examine(api: Api, path: str, found: Json, waited: float) -> None:
    """See whether a pod that hasn't started yet ever will.

    Raises:
        Stuck: it won't, or not in time.
    """
    namespace = found["metadata"]["namespace"]
    for one in found.get("status", {}).get("containerStatuses") or []:
        waiting = one.get("state", {}).get("waiting") or {}
        reason, said = str(waiting.get("reason", "")), str(waiting.get("message", ""))
        if reason == "CreateContainerConfigError" and "failed to sync" not in said:
            raise _config(said, namespace)
        if "Image" in reason and (reason == "ImagePullBackOff" or _is_final(f"{reason} {said}")):
            raise _image(reason, said, one.get("image", ""), namespace)
        if reason in {"CreateContainerError", "RunContainerError"}:
            raise Stuck(f"the container can't start: {said}", look(path))
    placed = _condition(found, "PodScheduled")
    if placed.get("reason") == "Unschedulable" and waited > _PLACED and not _comes(api, found):
        message = placed.get("message", "")
        fix = (
            "kubectl describe nodes    # what they have, and their taints\n"
            "# node_selector and tolerations are in the profile `default` in pyproject.toml."
        )
        raise Stuck(f"no node takes the pod: {message}", fix)
    if waited > _STARTED:
        warned = _events(api, found)
        why = f": {warned[-1]}" if warned else ""
        raise Stuck(f"the pod has not started after {waited:.0f} s{why}", look(path))


def _config(said: str, namespace: str) -> Stuck:
    if missing := _SECRET.search(said):
        fix = f"kubectl create secret generic {missing[1]} --namespace {namespace} "
        fix += "--from-literal=KEY=VALUE"
        return Stuck(f"the pod can't start: there is no secret {missing[1]}", fix)
    if missing := _KEY.search(said):
        fix = f"kubectl edit secret {missing[2]} --namespace {namespace}    # values in base64"
        return Stuck(f"the pod can't start: the secret {missing[2]} lacks {missing[1]}", fix)
    return Stuck(f"the pod can't start: {said}", f"kubectl get events --namespace {namespace}")


def _image(reason: str, said: str, image: str, namespace: str) -> Stuck:
    fix = (
        f"docker pull {image}    # is it there?\n"
        f"kubectl create secret docker-registry registry --namespace {namespace} "
        f"--docker-server={registry(image)} --docker-username=NAME --docker-password=TOKEN\n"
        "# Then, in pyproject.toml, below [tool.gaiaflow.resources.default]:\n"
        '# image_pull_secrets = ["registry"]'
    )
    return Stuck(f"the node can't get the image ({reason}): {said or image}", fix)


def _is_final(said: str) -> bool:
    return any(sign in said for sign in _NO_SUCH_IMAGE)


def state(found: Json) -> Json:
    """The state of the container with the program; empty as long as it has none."""
    statuses = found.get("status", {}).get("containerStatuses") or []
    return next((dict(one["state"]) for one in statuses if one["name"] == BASE), {})


def _condition(found: Json, kind: str) -> Json:
    conditions = found.get("status", {}).get("conditions") or []
    return next((dict(one) for one in conditions if one["type"] == kind), {})


def _comes(api: Api, found: Json) -> bool:
    """Whether an autoscaler has announced a node."""
    return any(reason in line for line in _events(api, found) for reason in _COMING)


def _events(api: Api, found: Json) -> list[str]:
    """What the cluster says about a pod: "FailedMount: ..."."""
    metadata = found["metadata"]
    try:
        events = api.items(
            f"/api/v1/namespaces/{metadata['namespace']}/events",
            fieldSelector=f"involvedObject.name={metadata['name']}",
        )
    except Refused:
        return []
    return [f"{one.get('reason')}: {one.get('message')}" for one in events]


def doing(found: Json) -> str:
    """What a pod does: "waits for a node", "is being created, image ..."."""
    if _condition(found, "PodScheduled").get("status") != "True":
        return "waits for a node"
    now = state(found)
    if "running" in now:
        return "runs"
    return f"starts ({(now.get('waiting') or {}).get('reason', 'ContainerCreating')})"


def look(path: str) -> str:
    """Where the cluster says more about a pod."""
    namespace = path.split("/")[4]
    return f"kubectl get events --namespace {namespace} --sort-by .lastTimestamp"
