"""The operator of mode `prod`: pods in Airflow's own cluster, which take no worker's slot."""

from __future__ import annotations

import importlib
import importlib.util
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import PodLaunchFailedException
from airflow.sdk.exceptions import AirflowTaskTimeout
from kubernetes.client import models as k8s

from gaiaflow.operators.pod import Hook, PodOperator
from gaiaflow.operators.pod_manager import seconds_waited
from gaiaflow.operators.pod_troubles import Stuck, StuckError, terminated, why_stuck
from gaiaflow.project import clients, released, variables
from gaiaflow.project.identity import read_toml
from gaiaflow.project.paths import ROOT

if TYPE_CHECKING:
    from airflow.sdk import Context

_TRIGGERS = "gaiaflow_triggers"  # a module of Airflow's image for production
_SOON = 10.0  # seconds for which a task waits itself: resuming it takes longer
_POLL = 5.0  # seconds between two looks at a pod: hundreds share one triggerer
_LOGS = 10  # seconds between two looks at its log
_START = 30  # seconds until the task itself looks why a pod that has a node doesn't start
_PADDING = timedelta(minutes=5)  # after the task's timeout, in case the triggerer is late


class ClusterPodOperator(PodOperator):
    """Pods in the cluster where Airflow runs, with the servers in Airflow's settings.

    The task creates its pod and defers: Airflow's triggerer watches the pod and writes its log. At
    the end, the task is resumed as if it had survived a crash of Airflow. A task waits for its pod
    itself if that ends soon, or if the triggerer lacks our trigger.
    """

    credentials_are_optional = True  # the cluster may give pods a role instead
    patience = 120.0
    advice = "See what the cluster lacks: kubectl describe pod, kubectl get events"
    more_room = (
        "Ask for less (`resources` of create_task), or have a larger node added.\n"
        "See the existing nodes: kubectl describe nodes"
    )
    distrust = (
        "Python 3.13 rejects certificate authorities without keyUsage or an authority key "
        "identifier: have the cluster's renewed, or run Airflow with Python 3.12."
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(
            in_cluster=True, namespace=os.environ.get(variables.NAMESPACE) or None, **options
        )

    def prepare(self, context: Context) -> None:
        """Set what depends on the run, and where the pod may run."""
        super().prepare(context)
        wanted = self.spec.resources
        self.node_selector = dict(wanted.node_selector)
        self.tolerations = [_toleration(one) for one in wanted.tolerations]
        self.service_account_name = wanted.service_account or None
        secrets = [k8s.V1LocalObjectReference(name=name) for name in wanted.image_pull_secrets]
        self.image_pull_secrets = secrets

    def project_image(self) -> str:
        """The image that was released with this commit, or else the one in Airflow's settings."""
        return released.image(ROOT) or super().project_image()

    def run_pod(self, context: Context) -> Any:
        """Make the pod, and leave it to the triggerer unless it ends soon."""
        if importlib.util.find_spec(_TRIGGERS):
            self.pod_request_obj = self.build_pod_request_obj(context)
            self.pod = self.get_or_create_pod(self.pod_request_obj, context)
            if not self._ends_soon(self.pod):
                self._leave(context)
        return self.execute_sync(context)

    def _ends_soon(self, pod: k8s.V1Pod) -> bool:
        deadline = time.monotonic() + _SOON
        while time.monotonic() < deadline:
            found = self.pod_manager.read_pod(pod)
            stuck = why_stuck(found)
            if terminated(found, self.base_container_name) or (stuck and stuck.part != "node"):
                return True
            time.sleep(1)
        return False

    def resume(self, context: Context, event: dict[str, Any]) -> Any:
        """Return the function's result; called when the triggerer has seen the pod's end.

        Args:
            event: what it has seen; the pod itself is asked again, as it may have been mistaken.

        Raises:
            AirflowTaskTimeout: the function needed too long; its pod is deleted.
            AirflowFailException, RuntimeError: as `call`.
        """
        self.prepare(context)
        with self.explained():
            self.pod_request_obj = self.build_pod_request_obj(context)
            self.pod = self.find_pod(event["namespace"], context)
            if self.pod is None:
                raise RuntimeError(
                    f"The pod {event['name']} is gone: its node has failed, or it was deleted."
                )
            self.pod = self.pod_manager.read_pod(self.pod)  # not allowed to: the trigger neither
            metadata = self.pod.metadata
            container = (metadata.namespace, metadata.name, self.base_container_name)
            if known := event.get("last_log_time"):
                self.pod_manager.container_log_times[container] = known
            if self._is_late(context):
                self._end_late(self.pod)
            if not self._has_started(context):
                self._leave(context)
            result = self.execute_sync(context)
        return self.finish(result, context)

    def _end_late(self, pod: k8s.V1Pod) -> NoReturn:
        if self.pod_manager.container_is_running(pod, self.base_container_name):
            self.pod_manager.fetch_requested_container_logs(
                pod, self.base_container_name, container_name_log_prefix_enabled=False
            )
        self.on_kill()
        raise AirflowTaskTimeout(f"Timed out after {self.execution_timeout}")

    def _has_started(self, context: Context) -> bool:
        try:
            waited = seconds_waited(self.pod)
            return self.pod_manager.has_started(self.pod, waited, self.startup_timeout_seconds)
        except (StuckError, PodLaunchFailedException):
            self.post_complete_action(
                pod=self.pod, remote_pod=self.pod, context=context, result=None
            )
            raise

    def _leave(self, context: Context) -> None:
        """End this process; go on in `resume`."""
        pod: Any = self.pod
        metadata, limit = pod.metadata, self.execution_timeout
        deadline = self._deadline(context)
        self.defer(
            trigger=importlib.import_module(_TRIGGERS).PodTrigger(
                pod_name=metadata.name,
                pod_namespace=metadata.namespace,
                trigger_start_time=datetime.now(UTC),
                base_container_name=self.base_container_name,
                in_cluster=True,
                poll_interval=_POLL,
                logging_interval=_LOGS,
                startup_timeout=_START,
                schedule_timeout=int(self.patience),
                startup_check_interval=_POLL,
                on_finish_action="keep_pod",
                termination_grace_period=self.termination_grace_period,
                trigger_kwargs={"_execution_deadline": deadline} if deadline else {},
                log_events_on_startup=False,
            ),
            method_name="resume",
            timeout=limit and limit + _PADDING,
        )

    def _deadline(self, context: Context) -> float | None:
        """When the task's time is up, if ever; its start stays the same when it is resumed."""
        if not self.execution_timeout:
            return None
        return float((context["ti"].start_date + self.execution_timeout).timestamp())

    def _is_late(self, context: Context) -> bool:
        deadline = self._deadline(context)
        return deadline is not None and time.time() >= deadline

    def reach(self) -> dict[str, str]:
        """The variables with which Airflow itself finds MLflow and the object store."""
        known = clients.task_env(os.environ, in_stack=False)
        return {**_experiment(), **known}

    def is_final(self, stuck: Stuck) -> bool:
        """Whether a retry would also get stuck; nodes come and go."""
        return stuck.final and stuck.part != "node"

    def make_secret(self, name: str) -> str:
        """How to create a secret."""
        pod: Any = self.pod_request_obj
        return (
            f"Create it: kubectl create secret generic {name} --namespace {pod.metadata.namespace} "
            "--from-literal=KEY=VALUE"
        )

    @cached_property
    def hook(self) -> KubernetesHook:
        """The connection to the cluster where Airflow runs."""
        return Hook(self.project_image(), in_cluster=True)


def _experiment() -> dict[str, str]:
    """MLflow's experiment, named after the package; none if only DAGs have been deployed."""
    file = ROOT / "pyproject.toml"
    if not file.exists():
        return {}
    return {"MLFLOW_EXPERIMENT_NAME": str(read_toml(file)["tool"]["gaiaflow"]["package"])}


def _toleration(written: Mapping[str, Any]) -> k8s.V1Toleration:
    """A toleration, written as in a manifest."""
    seconds = written.get("tolerationSeconds")
    named = {name: value for name, value in written.items() if name != "tolerationSeconds"}
    return k8s.V1Toleration(**named, toleration_seconds=seconds)
