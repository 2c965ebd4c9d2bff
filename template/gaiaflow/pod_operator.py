"""The operators of the modes `prod_local` and `prod`: a task is a pod of the package image."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import PodLaunchFailedException
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes.client import models as k8s
from kubernetes.config import ConfigException
from urllib3.exceptions import MaxRetryError

from gaiaflow import endpoints
from gaiaflow.function_task import FunctionTask, keeps_failed

if TYPE_CHECKING:
    from airflow.sdk import Context

_RESULT = "/airflow/xcom/return.json"  # where Airflow's sidecar looks
_USER = 50000  # the user of the package image
_KUBE_CONFIG = Path(__file__).resolve().parents[1] / "kube_config_inline"


class _Hook(KubernetesHook):
    """The way to one cluster, whatever connections somebody has made in Airflow."""

    def __init__(self, sidecar_image: str, **options: Any) -> None:
        super().__init__(conn_id=None, kubernetes_conn_id=None, **options)
        self.sidecar_image = sidecar_image

    def get_xcom_sidecar_container_image(self) -> str:
        """An image that the node has anyway; the provider's would come from a registry."""
        return self.sidecar_image

    def get_xcom_sidecar_container_resources(self) -> k8s.V1ResourceRequirements:
        """Limits for it as well: some namespaces take no container without."""
        return k8s.V1ResourceRequirements(
            requests={"cpu": "10m", "memory": "16Mi"}, limits={"cpu": "100m", "memory": "64Mi"}
        )


class PodOperator(FunctionTask, KubernetesPodOperator):
    """Calls the function in a pod that is no root, has limits, and goes when it is done."""

    template_fields = FunctionTask.template_fields
    template_ext = FunctionTask.template_ext

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
            startup_timeout_seconds=600,  # a large image, a node that is to be started first
            startup_check_interval_seconds=1,
            base_container_status_polling_interval=0.5,
            automount_service_account_token=False,
            security_context=k8s.V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=_USER,
                seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
            ),
            container_security_context=no_rights,
            xcom_sidecar_container_security_context=no_rights,
            # A service called mlflow would else set MLFLOW_PORT and more in every pod.
            full_pod_spec=k8s.V1Pod(spec=k8s.V1PodSpec(containers=[], enable_service_links=False)),
            **options,
        )

    def call(self, context: Context) -> Any:
        """Run the function and return its result.

        Raises:
            RuntimeError: the function failed, or the pod could not be started.
        """
        self.image = self.task_image or _project_image()
        self.cmds = ["python", "-m", "gaiaflow.runner", self.function]
        self.env_vars = {**self.reach(), **self.call_env(), "GAIAFLOW_RESULT": _RESULT}
        self.env_from = [_secret(endpoints.CREDENTIALS_SECRET, self.credentials_are_optional)]
        self.env_from += [_secret(name, False) for name in self.secret_names]
        self.container_resources = _resources(self.requested)
        name = os.environ.get("GAIAFLOW_NAME", "gaiaflow")
        self.labels = {"app.kubernetes.io/managed-by": "gaiaflow", "gaiaflow.project": name}
        try:
            return KubernetesPodOperator.execute(self, context)
        except PodLaunchFailedException as error:
            raise RuntimeError(f"The pod did not start: {error}\n{self.advice}") from None
        except (MaxRetryError, ConfigException) as error:
            raise RuntimeError(f"The cluster does not answer: {error}\n{self.advice}") from None
        except AirflowException:
            code = self._exit_code()
            if not code:
                raise
            raise self.failed(code) from None

    credentials_are_optional = False
    advice = ""

    def reach(self) -> dict[str, str]:
        """How the pod finds MLflow and the object store."""
        return endpoints.client_env(os.environ, local=True)

    def _exit_code(self) -> int | None:
        """The exit code of the function's container, if it has ended."""
        status = self.remote_pod.status if self.remote_pod else None
        for container in (status and status.container_statuses) or []:
            if container.name == self.base_container_name and container.state.terminated:
                return int(container.state.terminated.exit_code)
        return None


class LocalPodOperator(PodOperator):
    """Pods in this project's Minikube, through `kube_config_inline` and nothing else."""

    advice = (
        "See what is there: python3 minikube_manager.py status\n"
        "Start it, or give it the image of today: python3 minikube_manager.py start, ... build"
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(
            in_cluster=False,
            config_file=str(_KUBE_CONFIG),
            # The same cluster has another address inside the compose stack.
            cluster_context="containers" if os.environ.get("GAIAFLOW_NETWORK") else "host",
            namespace="default",
            image_pull_policy="IfNotPresent",
            **options,
        )

    def call(self, context: Context) -> Any:
        """Run the function and return its result.

        Raises:
            AirflowFailException: nobody has made a cluster, so that to try again is of no use.
            RuntimeError: the function failed, or the pod could not be started.
        """
        if not _KUBE_CONFIG.exists():
            raise AirflowFailException(
                "kube_config_inline is not there, which says where Minikube is.\n"
                "Make it: python3 minikube_manager.py start, or ... config if it runs already."
            )
        return super().call(context)

    @cached_property
    def hook(self) -> KubernetesHook:
        """The way to Minikube."""
        return _Hook(
            _project_image(),
            in_cluster=False,
            config_file=self.config_file,
            cluster_context=self.cluster_context,
        )


class ClusterPodOperator(PodOperator):
    """Pods in the cluster where Airflow runs, with the servers that Airflow's settings name."""

    credentials_are_optional = True  # the cluster may give pods a role instead
    advice = "`kubectl describe pod` and `kubectl get events` say what the cluster lacks."

    def __init__(self, **options: Any) -> None:
        super().__init__(
            in_cluster=True, namespace=os.environ.get("GAIAFLOW_NAMESPACE") or None, **options
        )

    def reach(self) -> dict[str, str]:
        """How the pod finds MLflow and the object store: as Airflow itself does."""
        return endpoints.client_env(os.environ, local=False)

    @cached_property
    def hook(self) -> KubernetesHook:
        """The way to the cluster around us."""
        return _Hook(_project_image(), in_cluster=True)


def _project_image() -> str:
    image = os.environ.get("GAIAFLOW_IMAGE")
    if not image:
        raise RuntimeError(
            "GAIAFLOW_IMAGE is not set. It names the project's own image, and Airflow's "
            "deployment sets it."
        )
    return image


def _secret(name: str, optional: bool) -> k8s.V1EnvFromSource:
    source = k8s.V1SecretEnvSource(name=name, optional=optional)
    return k8s.V1EnvFromSource(secret_ref=source)


def _resources(requested: dict[str, Any]) -> k8s.V1ResourceRequirements:
    """What is requested is there; twice the CPU is allowed while nobody else wants it."""
    memory, gpu = requested["memory"], requested["gpu"]
    gpus = {"nvidia.com/gpu": str(gpu)} if gpu else {}
    return k8s.V1ResourceRequirements(
        requests={"cpu": f"{requested['cpu']:g}", "memory": memory, **gpus},
        limits={"cpu": f"{2 * requested['cpu']:g}", "memory": memory, **gpus},
    )
