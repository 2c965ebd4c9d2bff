"""Wait until servers are ready, and tell why they are not."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gaiaflow.backends import Notify
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.rehearsal.programs import Json, Kubectl

_LIMIT = 900.0  # seconds; images from the internet may be slow
_POLL = 2.0
_RESTARTS = 4  # a container that has ended more often will end again
_PATIENCE = 60.0  # seconds in which a missing secret may still come
_LINES = 15  # of a failed container's log
_CANNOT = ("ErrImage", "ImagePull", "InvalidImage", "CreateContainer")


def wait_until_ready(kubectl: Kubectl, namespace: str, notify: Notify, name: str) -> None:
    """Wait until all servers of a namespace are ready, and all jobs have ended well.

    Args:
        kubectl: the cluster.
        namespace: where they are.
        notify: is told how many are ready.
        name: what to call them.

    Raises:
        GaiaflowError: a pod can't start or ends again and again, or it takes too long.
    """
    began = time.monotonic()
    while True:
        wanted = kubectl.get("deployments,statefulsets,jobs", "--namespace", namespace)
        ready = sum(map(_is_ready, wanted))
        said = f"{ready} of {len(wanted)} are ready"
        if wanted and ready == len(wanted):
            notify(name, "healthy", "")
            return
        notify(name, "starting", said)
        waited = time.monotonic() - began
        names = tuple(f"{one['metadata']['name']}-" for one in wanted)
        if trouble := _trouble(kubectl, namespace, names, patient=waited < _PATIENCE):
            raise GaiaflowError(trouble)
        if waited > _LIMIT:
            raise GaiaflowError(
                f"{said} after {_LIMIT / 60:.0f} minutes.\nSee why: kubectl --kubeconfig "
                f"{kubectl.config.name} describe pods --namespace {namespace}"
            )
        time.sleep(_POLL)


def _is_ready(found: Json) -> bool:
    """Whether a deployment, a stateful set or a job is as it should be."""
    status = found.get("status", {})
    if found["kind"] == "Job":
        return bool(status.get("succeeded"))
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return False
    counts = (status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas"))
    return set(counts) == {found["spec"].get("replicas", 1)}


def _trouble(kubectl: Kubectl, namespace: str, names: tuple[str, ...], patient: bool) -> str:
    """Why a pod won't become ready; empty as long as all may."""
    for pod in kubectl.get("pods", "--namespace", namespace):
        name = pod["metadata"]["name"]
        if not name.startswith(names):
            continue
        for status in _containers(pod):
            waiting = status.get("state", {}).get("waiting", {})
            reason = str(waiting.get("reason", ""))
            if reason.startswith(_CANNOT) and not patient:
                return f"The pod {name} can't start: {reason}: {waiting.get('message', '')}"
            if status.get("restartCount", 0) >= _RESTARTS and waiting:
                log = ("logs", name, "--namespace", namespace, "--previous", f"--tail={_LINES}")
                said = kubectl(*log, f"--container={status['name']}").strip()
                return f"{status['name']} in the pod {name} ends again and again:\n{said}"
    return ""


def _containers(pod: Json) -> Iterator[Json]:
    for kind in ("initContainerStatuses", "containerStatuses"):
        yield from pod["status"].get(kind, ())
