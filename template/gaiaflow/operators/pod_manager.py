"""Replace what the provider does with pods where it waits too long or says too little."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import (
    PodLaunchFailedException,
    generic_api_retry,
)
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodManager, PodPhase
from airflow.providers.cncf.kubernetes.utils.xcom_sidecar import PodDefaults
from kubernetes.client import CoreV1Api
from kubernetes.client.exceptions import ApiException
from kubernetes.client.models import V1Pod, V1PodCondition
from kubernetes.stream import stream

from gaiaflow.operators.pod_troubles import StuckError, terminated, why_stuck

TASK = "gaiaflow.task"  # the annotation that names a pod's task

# Autoscalers' events for a pod that waits for a node: one is coming, or none will come.
_COMES = {"TriggeredScaleUp", "Nominated"}
_NEVER_COMES = "NotTriggerScaleUp"

_END_LIMIT = 60.0  # seconds until the pod of an earlier try must be gone
_BASE = KubernetesPodOperator.BASE_CONTAINER_NAME
_OVER = {"success", "failed", "skipped", "upstream_failed", "removed"}


class Pods(PodManager):
    """Pods of one task.

    Args:
        kube_client: the cluster.
        patience: seconds for an autoscaler to announce a node.
    """

    def __init__(self, kube_client: CoreV1Api, patience: float) -> None:
        super().__init__(kube_client)
        self.patience = patience

    async def await_pod_start(
        self,
        pod: V1Pod,
        schedule_timeout: int = 600,
        startup_timeout: int = 600,
        check_interval: float = 1,
    ) -> None:
        """Wait until the pod runs, or its status says that it never will.

        Raises:
            StuckError: it never will.
            PodLaunchFailedException: it ended before it started, or the time is up.
        """
        self.log.info("Waiting for the pod to run")
        began, placed = time.monotonic(), False
        while True:
            found = self.read_pod(pod)
            if not placed and is_placed(found):
                began, placed = time.monotonic(), True
            limit = startup_timeout if placed else schedule_timeout
            if self.has_started(found, time.monotonic() - began, limit):
                self.log.info("The pod is running")
                return
            await asyncio.sleep(check_interval)

    def has_started(self, pod: V1Pod, waited: float, limit: float) -> bool:
        """Whether a pod runs or has run; False as long as it still may.

        Args:
            pod: as the API server has just shown it.
            waited: seconds since it was created, or since a node was found for it.
            limit: for those seconds.

        Raises:
            StuckError, PodLaunchFailedException: as `await_pod_start`.
        """
        status = pod.status
        if status.phase not in {PodPhase.PENDING, PodPhase.UNKNOWN, None}:
            if status.phase == PodPhase.FAILED and not status.container_statuses:
                raise PodLaunchFailedException(f"{status.reason}: {status.message}")
            return True
        stuck = why_stuck(pod)
        if stuck and (stuck.part != "node" or self._no_node_comes(pod, waited)):
            raise StuckError(stuck)
        if waited > limit:
            condition = _placement(pod)
            why = condition.message if condition and not is_placed(pod) else "see its events above"
            raise PodLaunchFailedException(f"it is not running after {limit:.0f} s: {why}")
        return False

    def _no_node_comes(self, pod: V1Pod, waited: float) -> bool:
        try:
            reasons = {event.reason for event in self.read_pod_events(pod).items}
        except ApiException:  # no permission to see them: a node may still come
            return False
        return not reasons & _COMES and (waited >= self.patience or _NEVER_COMES in reasons)

    def await_end(self, namespace: str, selector: str) -> None:
        """Wait for the end of pods that were abandoned by a task's tries, or are being deleted.

        Two tries never run at the same time: they would write the same keys.

        Raises:
            RuntimeError: they do not end.
        """
        deadline = time.monotonic() + _END_LIMIT
        while pods := [pod for pod in self._list(namespace, selector) if _is_given_up(pod)]:
            for pod in pods:
                if not pod.metadata.deletion_timestamp:
                    self.delete_pod(pod)
            if time.monotonic() > deadline:
                names = ", ".join(pod.metadata.name for pod in pods)
                raise RuntimeError(
                    f"The pod of an earlier try has not ended after {_END_LIMIT:g} s: {names}.\n"
                    "Check that its node is alive: kubectl get nodes"
                )
            time.sleep(0.5)

    def sweep(
        self, namespace: str, selector: str, task_states: Callable[..., Mapping[str, Any]]
    ) -> None:
        """Delete the pods of tasks that are over, which a killed scheduler leaves behind.

        Args:
            namespace: where they are.
            selector: their labels.
            task_states: tells the states of a run's tasks, by `dag_id` and `run_ids`.
        """
        runs: dict[tuple[str, str], Mapping[str, str]] = {}
        for pod in self._list(namespace, selector):
            known = (pod.metadata.annotations or {}).get(TASK)
            if not known or pod.status.phase in PodPhase.terminal_states:
                continue
            dag_id, run_id, task_id, map_index = json.loads(known)
            if (dag_id, run_id) not in runs:
                found = task_states(dag_id=dag_id, run_ids=[run_id])
                runs[dag_id, run_id] = found.get(run_id, {})
            name = task_id if map_index in {None, -1} else f"{task_id}_{map_index}"
            if runs[dag_id, run_id].get(name) in _OVER and not pod.metadata.deletion_timestamp:
                self.log.info("Deleting %s: its task %s is over", pod.metadata.name, name)
                self.delete_pod(pod)

    @generic_api_retry  # type: ignore[untyped-decorator]
    def _list(self, namespace: str, selector: str) -> list[V1Pod]:
        found = self._client.list_namespaced_pod(namespace, label_selector=selector)
        return list(found.items)

    def extract_xcom_json(self, pod: V1Pod) -> str:
        """The result of the function."""
        with _refusals_shown():
            return str(super().extract_xcom_json(pod))

    def extract_xcom_kill(self, pod: V1Pod) -> None:
        """End the sidecar, which is the first process of its container."""
        with _refusals_shown():
            ended: Any = stream(
                self._client.connect_get_namespaced_pod_exec,
                pod.metadata.name,
                pod.metadata.namespace,
                container=PodDefaults.SIDECAR_CONTAINER_NAME,
                command=["/bin/sh", "-c", "kill -INT 1"],
                stdin=False,
                stdout=True,
                stderr=True,
                tty=False,
                _preload_content=False,
            )
        with closing(ended):
            ended.run_forever(timeout=10)


def _is_given_up(pod: V1Pod) -> bool:
    """Whether no try waits for a pod any more, although its function may still run or start."""
    if pod.metadata.deletion_timestamp:
        return True
    checked = (pod.metadata.labels or {}).get(KubernetesPodOperator.POD_CHECKED_KEY) == "True"
    over = pod.status.phase in PodPhase.terminal_states
    return checked and not over and not terminated(pod, _BASE)


def is_placed(pod: V1Pod) -> bool:
    """Whether a node was found for a pod."""
    condition = _placement(pod)
    return condition is not None and condition.status == "True"


def seconds_waited(pod: V1Pod) -> float:
    """Seconds since a pod was created, or since a node was found for it; by the cluster's clock."""
    condition = _placement(pod)
    placed = condition.last_transition_time if condition and is_placed(pod) else None
    since: datetime = placed or pod.metadata.creation_timestamp
    return (datetime.now(UTC) - since).total_seconds()


def _placement(pod: V1Pod) -> V1PodCondition | None:
    conditions = {item.type: item for item in pod.status.conditions or []}
    return conditions.get("PodScheduled")


@contextmanager
def _refusals_shown() -> Iterator[None]:
    """Let the cluster's refusals through: the client crashes on one without a body."""
    try:
        yield
    except AttributeError as error:
        if isinstance(error.__context__, ApiException):
            raise error.__context__ from None
        raise
