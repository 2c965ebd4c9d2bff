"""What goes wrong between Airflow and a cluster: pods that can't start, and requests refused."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from airflow.providers.cncf.kubernetes.utils.pod_manager import detect_pod_terminate_early_issues
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes.client.exceptions import ApiException
from kubernetes.client.models import V1ContainerStateTerminated, V1Pod

# What Airflow's service account may do where the pods run: resources and verbs, and no more.
ROLE = {
    "pods": ("create", "get", "list", "patch", "delete"),
    "pods/log": ("get",),
    "pods/exec": ("get", "create"),
    "events": ("list",),
}

_SECRET = re.compile(r'secret "([^"]+)" not found')
# Of a request by websocket, all that is known is the text of a dump with quotes in quotes.
_FORBIDDEN = re.compile(
    r"cannot (?P<verb>\w+) resource \W*(?P<resource>[\w/.]+)\W.*"
    r"in the namespace \W*(?P<namespace>[\w.-]+)"
)
# Of a registry's answers those that stay; a network that is down may come back.
_NO_SUCH_IMAGE = ("not found", "denied", "unauthorized", "InvalidImageName", "ErrImageNeverPull")


@dataclass(frozen=True)
class Stuck:
    """Why a pod does not start: what is wrong with its `secret`, `image`, `node` or `config`."""

    part: str
    said: str
    final: bool = True


class StuckError(AirflowException):
    """A pod waits in vain."""

    def __init__(self, stuck: Stuck) -> None:
        super().__init__(stuck.said)
        self.stuck = stuck


def why_stuck(pod: V1Pod) -> Stuck | None:
    """What the status of a pod says that no waiting changes."""
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
    """How a container of a pod has ended; None if it has not."""
    statuses = (pod.status.container_statuses if pod and pod.status else None) or []
    return next((found.state.terminated for found in statuses if found.name == name), None)


def refusal(error: ApiException) -> Exception:
    """What the API server has refused, as the error that ends the task."""
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
            return RuntimeError(f"The quota of the namespace is used up: {said}")
        return AirflowFailException(f"The cluster refuses the pod: {said}")
    if error.status in {400, 422} or (error.status == 404 and "namespaces" in said):
        return AirflowFailException(f"The cluster does not accept the pod: {said}")
    return RuntimeError(f"The cluster answered {error.status}: {said}")


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (KeyError, TypeError, ValueError):
        return str(error.reason)


def _fits_no_node(message: str) -> bool:
    """Whether the scheduler sees no node that could ever have the pod, however idle.

    A node that is only busy now has "No preemption victims"; taints of a node come and go.
    """
    lacks = "Insufficient" in message or "node affinity/selector" in message
    helpless = "Preemption is not helpful" in message and "No preemption victims" not in message
    return lacks and helpless
