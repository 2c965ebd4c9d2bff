"""Serve predictions from a project's cluster: a deployment, its service and its autoscaler."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, utils
from kubernetes.client.exceptions import ApiException

from gaiaflow.minikube.cluster import NAMESPACE, Cluster, explained
from gaiaflow.minikube.program import Notify
from gaiaflow.project import image
from gaiaflow.project.clients import client_env, task_env
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project

NAME = "serving"
MANIFEST = Path(__file__).with_name("serving.yaml")

_PODS = f"app.kubernetes.io/name={NAME}"  # their label
_POLL = 1.0
_LIMIT = 300.0  # seconds until all pods are ready
_RESTARTS = 2  # a pod that has ended more often will end again
_LINES = 15  # of a failed pod's log


def manifests(image_name: str) -> list[dict[str, Any]]:
    """The objects to create, with the project's image."""
    objects = list(yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")))
    [container] = objects[0]["spec"]["template"]["spec"]["containers"]
    container["image"] = image_name
    return objects


def settings(project: Project) -> dict[str, str]:
    """What the pods get as variables, without secrets."""
    return {
        **task_env(client_env(project), in_stack=True),
        "SERVING_MODEL": project.env["SERVING_MODEL"],
        "SERVING_LOG_SHARE": project.env["SERVING_LOG_SHARE"],
        "AWS_CONFIG_FILE": "/dev/null",
    }


def deploy(project: Project, cluster: Cluster, notify: Notify) -> None:
    """Create the objects, or change them to match the project; wait until all pods are ready.

    Raises:
        GaiaflowError: the cluster does not answer or refuses, or a pod does not become ready.
    """
    cluster.set_secret(NAME, {"SERVING_KEY": project.env["SERVING_KEY"]})
    metadata = {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "gaiaflow"}}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    objects = [{**config, "data": settings(project)}, *manifests(image.package_image(project))]
    # Pods read settings when they start: without this, a change of them alone would start none.
    template = objects[1]["spec"]["template"]
    template["metadata"]["annotations"] = {"gaiaflow/deployed": str(int(time.time()))}
    for each in objects:
        notify(NAME, "starting", each["kind"])
        with explained():
            utils.create_from_dict(cluster.api, each, namespace=NAMESPACE, apply=True)
    _wait(cluster, notify)


def remove(cluster: Cluster) -> None:
    """Delete all of it.

    Raises:
        GaiaflowError: the cluster does not answer or refuses.
    """
    core, apps = client.CoreV1Api(cluster.api), client.AppsV1Api(cluster.api)
    scaling, policy = client.AutoscalingV2Api(cluster.api), client.PolicyV1Api(cluster.api)
    for delete in (
        policy.delete_namespaced_pod_disruption_budget,
        scaling.delete_namespaced_horizontal_pod_autoscaler,
        core.delete_namespaced_service,
        apps.delete_namespaced_deployment,
        core.delete_namespaced_config_map,
        core.delete_namespaced_secret,
    ):
        with explained():
            _unless_missing(delete)


def _unless_missing(delete: Callable[..., Any]) -> None:
    try:
        delete(NAME, NAMESPACE)
    except ApiException as error:
        if error.status != 404:
            raise


def _wait(cluster: Cluster, notify: Notify) -> None:
    """Follow the pods until the new ones are ready and the old ones are gone."""
    apps = client.AppsV1Api(cluster.api)
    deadline = time.monotonic() + _LIMIT
    while True:
        with explained():
            found = apps.read_namespaced_deployment(NAME, NAMESPACE)
        wanted, state = found.spec.replicas, found.status
        current = (state.observed_generation or 0) >= found.metadata.generation
        ready = state.available_replicas or 0
        notify(NAME, "starting", f"{ready} of {wanted} pods are ready")
        if current and (state.updated_replicas, ready, state.replicas) == (wanted,) * 3:
            notify(NAME, "healthy", f"{ready} of {wanted} pods are ready")
            return
        if trouble := _trouble(cluster):
            raise GaiaflowError(trouble)
        if time.monotonic() > deadline:
            raise GaiaflowError(
                f"{ready} of {wanted} pods were ready after {_LIMIT:.0f} s.\n{_warning(cluster)}"
                f"See more: kubectl --kubeconfig kube_config_inline describe pods -l {_PODS}"
            )
        time.sleep(_POLL)


def _trouble(cluster: Cluster) -> str:
    """Why a pod will not become ready, with the end of its log; empty as long as it may."""
    core = client.CoreV1Api(cluster.api)
    with explained():
        pods = core.list_namespaced_pod(NAMESPACE, label_selector=_PODS).items
    for pod in pods:
        for state in pod.status.container_statuses or []:
            waiting = state.state.waiting
            if waiting and "Image" in (waiting.reason or ""):
                return (
                    f"The pods can't start: {waiting.reason}: {waiting.message}\n"
                    "Load the image: python3 minikube_manager.py build"
                )
            if state.restart_count >= _RESTARTS and waiting:
                return f"The server in pod {pod.metadata.name} ends again and again:\n" + _log(
                    core, pod.metadata.name
                )
    return ""


def _warning(cluster: Cluster) -> str:
    """A line with the cluster's latest warning about one of the pods; empty if there is none."""
    about = "type=Warning,involvedObject.kind=Pod"
    with explained():
        events = client.CoreV1Api(cluster.api).list_namespaced_event(
            NAMESPACE, field_selector=about
        )
    ours = [one for one in events.items if one.involved_object.name.startswith(f"{NAME}-")]
    if not ours:
        return ""
    # The scheduler's events have no `last_timestamp`.
    latest = max(ours, key=lambda one: one.last_timestamp or one.metadata.creation_timestamp)
    return f"{latest.reason}: {latest.message}\n"


def _log(core: client.CoreV1Api, pod: str) -> str:
    """The end of the log of a pod's container that has ended."""
    with explained():
        answer = core.read_namespaced_pod_log(
            pod,
            NAMESPACE,
            previous=True,
            tail_lines=_LINES,
            _preload_content=False,  # else it is the text of a bytes object
        )
    return str(answer.data.decode("utf-8", errors="replace").strip())
