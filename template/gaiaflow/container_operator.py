"""The operator of mode `dev_docker`: a task is a container of the package image."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from airflow.providers.docker.exceptions import DockerContainerFailedException
from airflow.providers.docker.operators.docker import DockerOperator
from docker.errors import APIError, DockerException, ImageNotFound
from docker.types import DeviceRequest

from gaiaflow import endpoints, resources, settings
from gaiaflow.function_task import FunctionTask, keeps_failed
from gaiaflow.images import package_image, project_name, task_network

if TYPE_CHECKING:
    from airflow.sdk import Context

_RESULT = "/tmp/gaiaflow-result.json"  # in the container


class ContainerOperator(FunctionTask, DockerOperator):  # type: ignore[misc]
    """Calls the function in a container on the network of MLflow and the object store."""

    template_fields = FunctionTask.template_fields
    template_ext = FunctionTask.template_ext
    pickling_library = json  # what DockerOperator reads the result with

    def __init__(self, **options: Any) -> None:
        super().__init__(
            image="set when it runs",
            auto_remove="success" if keeps_failed() else "force",
            mount_tmp_dir=False,
            retrieve_output=True,
            retrieve_output_path=_RESULT,
            **options,
        )

    def call(self, context: Context) -> Any:
        """Run the function and return its result.

        Raises:
            RuntimeError: the function failed, or the container could not be started.
        """
        project = settings.load(settings.find_root())
        self.image = self.task_image or package_image(project)
        self.command = ["python", "-m", "gaiaflow.runner", self.function]
        self.network_mode = task_network(project)
        self.environment = {
            **endpoints.client_env(os.environ, local=True),
            **self.call_env(),
            "GAIAFLOW_RESULT": _RESULT,
        }
        self._private_environment = endpoints.credentials(os.environ)
        if self.secret_names:
            self._private_environment |= settings.own_variables(project, self.secret_names)
        self.cpus = self.requested["cpu"]
        self.mem_limit = resources.memory_bytes(self.requested["memory"])
        if self.requested["gpu"]:
            gpus = DeviceRequest(count=self.requested["gpu"], capabilities=[["gpu"]])
            self.device_requests = [gpus]
        self.labels = {
            "gaiaflow.project": project_name(project),
            "gaiaflow.task": _identity(context),
        }
        try:
            self._sweep()
            return DockerOperator.execute(self, context)
        except DockerContainerFailedException:
            state = self.cli.wait(self.container["Id"]) if keeps_failed() else {}
            raise self.failed(state.get("StatusCode")) from None
        except ImageNotFound as error:
            raise RuntimeError(
                f"There is no image {self.image}. Build it: python3 mlops_manager.py build\n{error}"
            ) from None
        except DockerException as error:
            raise RuntimeError(
                f"Docker did not run the task: {error}\n"
                "Is the engine there, and the stack up? python3 mlops_manager.py doctor"
            ) from error

    def _sweep(self) -> None:
        """Remove what an earlier try of this task has left, after its scheduler was killed."""
        label = f"gaiaflow.task={self.labels['gaiaflow.task']}"
        for left in self.cli.containers(all=True, filters={"label": label}):
            self.log.info("Removing the container of an earlier try")
            try:
                self.cli.remove_container(left["Id"], force=True)
            except APIError as error:  # it has gone by itself
                self.log.info("It could not be removed: %s", error)


def _identity(context: Context) -> str:
    """One task of one run, whichever try of it."""
    ti = context["ti"]
    return json.dumps([ti.dag_id, ti.run_id, ti.task_id, ti.map_index])
