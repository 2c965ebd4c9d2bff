"""What goes wrong between Airflow and a cluster: pods that can't start, and refused requests."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from airflow.providers.cncf.kubernetes.utils.pod_manager import detect_pod_terminate_early_issues
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes.client.exceptions import ApiException
from kubernetes.client.models import V1ContainerStateTerminated, V1Pod

# All that Airflow's service account may do where the pods run: resources and verbs.
ROLE = {
    "pods": ("create", "get", "list", "patch", "delete"),
    "pods/log": ("get",),
    "pods/exec": ("get", "create"),
    "events": ("list",),
}

_SECRET = re.compile(r'secret "([^"]+)" not found')
# A refused websocket request is known only as the text of a dump, with nested quotes.
_FORBIDDEN = re.compile(
    r"cannot (?P<verb>\w+) resource \W*(?P<resource>[\w/.]+)\W.*"
    r"in the namespace \W*(?P<namespace>[\w.-]+)"
)
# The permanent answers of a registry; a network that is down may come back.
_NO_SUCH_IMAGE = ("not found", "denied", "unauthorized", "InvalidImageName", "ErrImageNeverPull")


@dataclass(frozen=True)
class Stuck:
    """Why a pod does not start: what is wrong with its `secret`, `image`, `node` or `config`."""

    part: str
    said: str
    final: bool = True


class StuckError(AirflowException):
    """A pod will never start."""

    def __init__(self, stuck: Stuck) -> None:
        super().__init__(stuck.said)
        self.stuck = stuck


def why_stuck(pod: V1Pod) -> Stuck | None:
    """The problem in a pod's status that waiting can't solve, if any."""
    for condition in pod.status.conditions or []:
        if condition.reason == "Unschedulable" and _fits_no_node(condition.message or ""):
            return Stuck("node", condition.message)
    for container in pod.status.container_statuses or []:
        waiting = container.state.waiting
        if waiting and waiting.reason == "CreateContainerConfigError":
            said = waiting.message or ""
            if missing := _SECRET.search(said):
                return Stuck("secret", missing[1])
            if "failed to sync" not in said:  # the node has not asked the API server yet
                return Stuck("config", said)
    if said := detect_pod_terminate_early_issues(pod):
        return Stuck("image", said, final=any(sign in said for sign in _NO_SUCH_IMAGE))
    return None


def terminated(pod: V1Pod | None, name: str) -> V1ContainerStateTerminated | None:
    """How a container of a pod ended; None if it has not."""
    statuses = (pod.status.container_statuses if pod and pod.status else None) or []
    return next((found.state.terminated for found in statuses if found.name == name), None)


def refusal(error: ApiException) -> Exception:
    """Turn a refusal of the API server into the error that ends the task."""
    said = _message(error)
    if error.status == 403 or "Handshake status 403" in said:
        if found := _FORBIDDEN.search(said):
            resource, verbs = found["resource"], ROLE.get(found["resource"], (found["verb"],))
            return AirflowFailException(
                f"The cluster does not let Airflow {found['verb']} {resource} in the namespace "
                f"{found['namespace']}.\nIts service account needs a Role with this rule: "
                f'{{apiGroups: [""], resources: ["{resource}"], verbs: {json.dumps(verbs)}}}\n'
                "The whole Role is in Gaiaflow's documentation, How-to, Modes."
            )
        if "exceeded quota" in said:
            return RuntimeError(f"The namespace's quota is used up: {said}")
        return AirflowFailException(f"The cluster refused the pod: {said}")
    if error.status in {400, 422} or (error.status == 404 and "namespaces" in said):
        return AirflowFailException(f"The cluster does not accept the pod: {said}")
    return RuntimeError(f"The cluster answered {error.status}: {said}")


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (KeyError, TypeError, ValueError):
        return str(error.reason)


def _fits_no_node(message: str) -> bool:
    """Whether the scheduler knows no node that could ever run the pod, even when idle.

    A node that is merely busy has "No preemption victims"; taints come and go.
    """
    lacks = "Insufficient" in message or "node affinity/selector" in message
    helpless = "Preemption is not helpful" in message and "No preemption victims" not in message
    return lacks and helpless
