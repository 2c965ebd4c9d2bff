"""The operator of mode `prod_local`: each task is a pod from the project's image."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import (
    KubernetesApiException,
    PodLaunchFailedException,
)
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes.client import models as k8s
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from gaiaflow.operators.base import GRACE, FunctionTask, identity_of, keeps_failed
from gaiaflow.operators.pod_manager import TASK, Pods
from gaiaflow.operators.pod_troubles import Stuck, StuckError, refusal, terminated
from gaiaflow.operators.resources import Resources
from gaiaflow.project import clients, variables
from gaiaflow.project.paths import ROOT

if TYPE_CHECKING:
    from airflow.sdk import Context

_RESULT = "/airflow/xcom/return.json"  # where Airflow's sidecar looks
_SCRATCH = "/scratch"
_USER = 50000  # the user in the project's image
_KUBE_CONFIG = ROOT / "kube_config_inline"

# When Kubernetes itself ends a pod, in case Airflow is gone.
_DEADLINE = timedelta(days=7)
_AFTER_TIMEOUT = timedelta(minutes=1)
# Like the provider's, but it reacts to both signals at once.
_SIDECAR = "trap 'exit 0' INT TERM; while true; do sleep 3600 & wait $!; done"


class Hook(KubernetesHook):
    """The connection to one cluster, regardless of the connections stored in Airflow."""

    def __init__(self, sidecar_image: str, **options: Any) -> None:
        super().__init__(conn_id=None, kubernetes_conn_id=None, **options)
        self.sidecar_image = sidecar_image

    def get_xcom_sidecar_container_image(self) -> str:
        """An image that the node already has; the provider's would come from a registry."""
        return self.sidecar_image

    def get_xcom_sidecar_container_resources(self) -> k8s.V1ResourceRequirements:
        """Limits for the sidecar: some namespaces refuse containers without them."""
        return k8s.V1ResourceRequirements(
            requests={"cpu": "10m", "memory": "16Mi"}, limits={"cpu": "100m", "memory": "64Mi"}
        )


class PodOperator(FunctionTask, KubernetesPodOperator):
    """Calls the function in a pod with limits and without root, deleted when it is done."""

    template_fields = FunctionTask.template_fields
    template_ext = FunctionTask.template_ext

    credentials_are_optional = False
    patience = 0.0  # seconds for an autoscaler to announce a node
    advice = ""

    def __init__(self, **options: Any) -> None:
        no_rights = k8s.V1SecurityContext(
            allow_privilege_escalation=False, capabilities=k8s.V1Capabilities(drop=["ALL"])
        )
        super().__init__(
            kubernetes_conn_id=None,
            do_xcom_push=True,
            deferrable=False,
            get_logs=True,
            container_name_log_prefix_enabled=False,
            log_pod_spec_on_failure=False,
            log_events_on_failure=True,
            on_finish_action="delete_succeeded_pod" if keeps_failed() else "delete_pod",
            startup_timeout_seconds=600,  # for large images, or nodes that must start first
            startup_check_interval_seconds=1,
            termination_grace_period=GRACE,
            base_container_status_polling_interval=0.5,
            automount_service_account_token=False,
            security_context=k8s.V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=_USER,
                fs_group=_USER if options["spec"].resources.scratch else None,  # owns the volume
                seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
            ),
            container_security_context=no_rights,
            xcom_sidecar_container_security_context=no_rights,
            # Otherwise, a service called mlflow would set MLFLOW_PORT and more in every pod.
            full_pod_spec=k8s.V1Pod(spec=k8s.V1PodSpec(containers=[], enable_service_links=False)),
            **options,
        )

    def call(self, context: Context) -> Any:
        """Run the function and return its result.

        Raises:
            AirflowFailException: the function or the cluster failed, and retries can't help.
            RuntimeError: the function failed, or the pod could not be started.
        """
        self.prepare(context)
        with self.explained():
            return self.run_pod(context)

    def prepare(self, context: Context) -> None:
        """Set what depends on the run."""
        self.image = self.spec.image or self.project_image()
        self.cmds = ["python", "-m", "gaiaflow.runner", self.spec.function]
        temporary = self._add_scratch()
        call = {**self.call_env(context), variables.RESULT: _RESULT}
        self.env_vars = {**self.reach(), **temporary, **call}
        self.env_from = [_secret(clients.CREDENTIALS_SECRET, self.credentials_are_optional)]
        self.env_from += [_secret(name, False) for name in self.spec.secrets]
        self.container_resources = _kubernetes(self.spec.resources)
        name = os.environ.get(variables.NAME, "gaiaflow")
        ours = {"app.kubernetes.io/managed-by": "gaiaflow", "gaiaflow.project": name}
        self.labels = {**self.spec.resources.labels, **ours}
        self.annotations = {TASK: identity_of(context)}
        limit = self.execution_timeout + _AFTER_TIMEOUT if self.execution_timeout else _DEADLINE
        self.active_deadline_seconds = int(limit.total_seconds())
        self.name = self._set_name(self.name)

    def project_image(self) -> str:
        """The project's own image.

        Raises:
            AirflowFailException: no setting names it.
        """
        image = os.environ.get(variables.IMAGE)
        if not image:
            raise AirflowFailException(
                "GAIAFLOW_IMAGE is not set.\n"
                "Set it in Airflow's deployment to the name of the project's image."
            )
        return image

    def _add_scratch(self) -> dict[str, str]:
        """Mount a volume if the task asks for one; the variables that say where it is."""
        if not (size := self.spec.resources.scratch):
            return {}
        # Not an emptyDir: rasters may be larger than a node's own disk.
        claim = k8s.V1PersistentVolumeClaimSpec(
            access_modes=["ReadWriteOnce"],
            resources=k8s.V1VolumeResourceRequirements(requests={"storage": size}),
        )
        template = k8s.V1PersistentVolumeClaimTemplate(spec=claim)
        source = k8s.V1EphemeralVolumeSource(volume_claim_template=template)
        self.volumes = [k8s.V1Volume(name="scratch", ephemeral=source)]
        self.volume_mounts = [k8s.V1VolumeMount(name="scratch", mount_path=_SCRATCH)]
        return {"TMPDIR": _SCRATCH, "CPL_TMPDIR": _SCRATCH}

    def run_pod(self, context: Context) -> Any:
        """Make the pod, wait for its end, and return the function's result."""
        return self.execute_sync(context)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn errors of the provider and the cluster into ours."""
        try:
            yield
        except StuckError as error:
            kind = AirflowFailException if self.is_final(error.stuck) else RuntimeError
            raise kind(f"The pod can't start. {self.explain(error.stuck)}") from None
        except PodLaunchFailedException as error:
            raise RuntimeError(f"The pod did not start: {error}\n{self.advice}") from None
        except ConfigException as error:
            raise AirflowFailException(f"There is no cluster: {error}\n{self.advice}") from None
        except (MaxRetryError, KubernetesApiException) as error:
            raise self._unreachable(error) from None
        except ApiException as error:
            raise (self._ended_badly() or refusal(error)) from None
        except AirflowFailException:
            raise
        except AirflowException as error:
            raise (self._ended_badly() or error) from None

    def image_tags(self) -> dict[str, str]:
        """The image's name, and its digest if the name has it: a tag gets one when it is pulled."""
        tags = {"mlflow.docker.image.uri": str(self.image)}
        _, _, digest = str(self.image).partition("@")
        return {**tags, "mlflow.docker.image.id": digest} if digest else tags

    def is_final(self, stuck: Stuck) -> bool:
        """Whether a retry would also get stuck."""
        return stuck.final

    def explain(self, stuck: Stuck) -> str:
        """Why a pod is stuck, and what to do."""
        if stuck.part == "secret":
            return f"The secret {stuck.said!r} does not exist.\n{self.make_secret(stuck.said)}"
        if stuck.part == "node":
            wants = ", ".join(
                f"{name} {value}" for name, value in asdict(self.spec.resources).items() if value
            )
            return f"No node has what the task asks for ({wants}): {stuck.said}\n{self.more_room}"
        return f"{stuck.said}\n{self.advice}"

    more_room = ""

    def make_secret(self, name: str) -> str:
        """How to create a secret."""
        raise NotImplementedError

    distrust = ""

    def _unreachable(self, error: Exception) -> Exception:
        if isinstance(error, MaxRetryError) and isinstance(error.reason, SSLError):
            return AirflowFailException(
                f"The cluster's certificate is not trusted: {error.reason}.\n{self.distrust}"
            )
        return RuntimeError(f"The cluster does not answer: {error}\n{self.advice}")

    # --- creating and ending the pod -------------------------------------------------------------

    @cached_property
    def pod_manager(self) -> Pods:
        """The pods of this task."""
        return Pods(self.client, self.patience)

    def build_pod_request_obj(
        self, context: Context | None = None, *, dry_run: bool = False
    ) -> k8s.V1Pod:
        """The provider's pod, with a sidecar that ends when told to."""
        pod = super().build_pod_request_obj(context, dry_run=dry_run)
        sidecar = pod.spec.containers[-1]
        sidecar.command = ["sh", "-c", _SIDECAR]
        sidecar.image_pull_policy = self.image_pull_policy
        return pod

    def get_or_create_pod(self, pod_request_obj: k8s.V1Pod, context: Context) -> k8s.V1Pod:
        """This task's pod if it has survived a crash of Airflow, otherwise a new one."""
        namespace, ti = pod_request_obj.metadata.namespace, context["ti"]
        selector = self._build_find_pod_label_selector(context, exclude_checked=False)
        self.pod_manager.await_end(namespace, selector)
        if ti.map_index in {None, -1}:  # not for each of many mapped tasks
            with suppress(ApiException, HTTPError):  # this task can run without it
                selector = ",".join(f"{name}={value}" for name, value in self.labels.items())
                self.pod_manager.sweep(namespace, selector, ti.get_task_states)
        return super().get_or_create_pod(pod_request_obj, context)

    def post_complete_action(
        self, *, pod: k8s.V1Pod, remote_pod: k8s.V1Pod, context: Context, **rest: Any
    ) -> None:
        """Clean up, and keep the original error: the provider would replace it."""
        coming = sys.exc_info()[1]
        if remote_pod and coming and not isinstance(coming, HTTPError):
            with suppress(ApiException, KubernetesApiException):
                remote_pod = self.remote_pod = self.pod_manager.read_pod(pod)
        try:
            super().post_complete_action(pod=pod, remote_pod=remote_pod, context=context, **rest)
        except (AirflowException, ApiException, HTTPError):
            if coming is None:
                raise

    def on_kill(self) -> None:
        """Delete the pod; the next try waits until it is gone."""
        self._killed = True
        if self.pod:
            with suppress(ApiException, HTTPError):
                self.pod_manager.delete_pod(self.pod)

    # --- the pod's environment and result --------------------------------------------------------

    def reach(self) -> dict[str, str]:
        """The variables with which the pod finds MLflow and the object store."""
        return clients.task_env(os.environ, in_stack=True)

    def _ended_badly(self) -> Exception | None:
        """The error in the pod's status; None if the function did not fail."""
        status = self.remote_pod.status if self.remote_pod else None
        if status and status.reason:  # DeadlineExceeded, Evicted, Preempting, NodeLost, ...
            return RuntimeError(
                f"Kubernetes ended the pod: {status.reason}. {status.message or ''}"
            )
        ended = terminated(self.remote_pod, self.base_container_name)
        if not ended or not ended.exit_code:
            return None
        if ended.reason in {"StartError", "ContainerCannotRun"}:
            return AirflowFailException(f"{self.image} can't run the task: {ended.message}")
        is_oom = ended.reason == "OOMKilled"
        return self.failed(ended.exit_code, limited=True, out_of_memory=is_oom)


class LocalPodOperator(PodOperator):
    """Pods in this project's Minikube, using only `kube_config_inline`."""

    advice = (
        "See its state: python3 minikube_manager.py status\n"
        "Start it, or load the current image: python3 minikube_manager.py start, ... build"
    )
    more_room = (
        "Ask for less (`resources` of create_task), or set a larger MINIKUBE_MEMORY and "
        "MINIKUBE_CPUS in .env, then run: python3 minikube_manager.py clean, ... start, ... build"
    )
    distrust = "Write kube_config_inline again: python3 minikube_manager.py config"

    def __init__(self, **options: Any) -> None:
        super().__init__(
            in_cluster=False,
            config_file=str(_KUBE_CONFIG),
            # The cluster has a different address inside the compose stack.
            cluster_context="containers" if os.environ.get(variables.NETWORK) else "host",
            namespace="default",
            # Our image is in the cluster; in a registry, anybody could use its name.
            image_pull_policy="IfNotPresent" if options["spec"].image else "Never",
            **options,
        )

    def call(self, context: Context) -> Any:
        """Run the function and return its result.

        Raises:
            AirflowFailException: there is no cluster, and retries can't help.
            RuntimeError: the function failed, or the pod could not be started.
        """
        if not _KUBE_CONFIG.exists():
            raise AirflowFailException(
                "kube_config_inline, which tells where the cluster is, does not exist.\n"
                "Create it: python3 minikube_manager.py start, or ... config if Minikube is running"
            )
        return super().call(context)

    def make_secret(self, name: str) -> str:
        """How to create a secret."""
        if name == clients.CREDENTIALS_SECRET:
            return "Create it: python3 minikube_manager.py config"
        return f"Create it: python3 minikube_manager.py secret {name} KEY=VALUE"

    @cached_property
    def hook(self) -> KubernetesHook:
        """The connection to Minikube."""
        return Hook(
            self.project_image(),
            in_cluster=False,
            config_file=self.config_file,
            cluster_context=self.cluster_context,
        )


def _secret(name: str, optional: bool) -> k8s.V1EnvFromSource:
    source = k8s.V1SecretEnvSource(name=name, optional=optional)
    return k8s.V1EnvFromSource(secret_ref=source)


def _kubernetes(resources: Resources) -> k8s.V1ResourceRequirements:
    """Reserve what the task asks for; allow twice the CPU while the node has idle CPUs."""
    cpu, memory = resources.cpu, resources.memory
    gpus = {"nvidia.com/gpu": str(resources.gpu)} if resources.gpu else {}
    return k8s.V1ResourceRequirements(
        requests={"cpu": f"{cpu:g}", "memory": memory, **gpus},
        limits={"cpu": f"{2 * cpu:g}", "memory": memory, **gpus},
    )
