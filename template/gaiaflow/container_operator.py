"""The operator of mode `dev_docker`: a task is a container of the package image."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.docker.exceptions import DockerContainerFailedException
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk.exceptions import AirflowFailException
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.types import DeviceRequest

from gaiaflow import endpoints, resources
from gaiaflow.function_task import GRACE, FunctionTask, identity_of, keeps_failed

if TYPE_CHECKING:
    from airflow.sdk import Context

_ROOT = Path(__file__).resolve().parents[1]
_RESULT = "/tmp/gaiaflow-result.json"  # in the container


class ContainerOperator(FunctionTask, DockerOperator):
    """Calls the function in a container that reaches MLflow and the object store."""

    template_fields = FunctionTask.template_fields
    template_ext = FunctionTask.template_ext
    pickling_library = json  # what DockerOperator reads the result with

    def __init__(self, **options: Any) -> None:
        super().__init__(
            image="set when it runs",
            auto_remove="never",  # by us, once we know why it failed
            mount_tmp_dir=False,
            retrieve_output=True,
            retrieve_output_path=_RESULT,
            **options,
        )

    def call(self, context: Context) -> Any:
        """Run the function and return its result.

        Raises:
            AirflowFailException: there is no image, or the function would fail again.
            RuntimeError: the function failed, or the container could not be started.
        """
        self.image = self.task_image or os.environ["GAIAFLOW_IMAGE"]
        self.command = ["python", "-m", "gaiaflow.runner", self.function]
        self.network_mode, reach = _network()
        self.environment = {**reach, **self.call_env(context), "GAIAFLOW_RESULT": _RESULT}
        # Not shown by Airflow.
        self._private_environment = endpoints.credentials(os.environ) | self.secrets_env()
        self.cpus = self.requested["cpu"]
        self.mem_limit = resources.memory_bytes(self.requested["memory"])
        if gpus := self.requested["gpu"]:
            self.device_requests = [DeviceRequest(count=gpus, capabilities=[["gpu"]])]
        name = os.environ["GAIAFLOW_NAME"]
        labels = {"gaiaflow.project": name, "gaiaflow.task": identity_of(context)}
        self.labels = labels
        keep = keeps_failed()
        try:
            if self.task_image is None:  # never of a registry, where anybody may use its name
                self.cli.inspect_image(self.image)  # type: ignore[no-untyped-call]
            self._sweep(labels)
            result = DockerOperator.execute(self, context)
            keep = False
            return result
        except DockerContainerFailedException as error:
            raise self.failed(_exit_code(error), out_of_memory=self._was_oom_killed()) from None
        except (ImageNotFound, NotFound) as error:
            raise AirflowFailException(
                f"There is no image {self.image}: {error}\n"
                "Build the project's own: python3 mlops_manager.py build"
            ) from None
        except DockerException as error:
            raise RuntimeError(
                f"Docker did not run the task: {error}\n"
                "Is the engine there, and the stack up? python3 mlops_manager.py doctor"
            ) from error
        finally:
            self._end(keep)

    def on_kill(self) -> None:
        """End the container, before anything else goes on."""
        self._end(keeps_failed())

    def _end(self, keep: bool) -> None:
        if self.container:
            with contextlib.suppress(DockerException, OSError):  # it is gone, or the engine is
                self.cli.stop(self.container["Id"], timeout=GRACE)
                if not keep:
                    self.cli.remove_container(self.container["Id"], force=True)

    def _was_oom_killed(self) -> bool:
        with contextlib.suppress(DockerException, OSError):
            return bool(self.cli.inspect_container(self.container["Id"])["State"]["OOMKilled"])
        return False

    def _sweep(self, labels: Mapping[str, str]) -> None:
        """Remove what an earlier try of this task has left, when its scheduler was killed."""
        filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
        for left in self.cli.containers(all=True, filters=filters):
            self.log.info("Removing the container of an earlier try")
            self.cli.remove_container(left["Id"], force=True)


def _network() -> tuple[str, dict[str, str]]:
    """The network of a task, and how it finds the servers there."""
    if network := os.environ.get("GAIAFLOW_NETWORK"):  # that of the compose stack
        return network, endpoints.client_env(os.environ, local=True)
    _ROOT.joinpath(".gaiaflow", "run", "task-containers").write_text(os.environ["GAIAFLOW_NAME"])
    known = endpoints.client_env(os.environ, local=False)
    if sys.platform == "linux":  # servers that are processes answer on 127.0.0.1 only
        return "host", known
    host = "host.docker.internal"  # what Docker Desktop calls this machine
    return "bridge", {name: value.replace("127.0.0.1", host) for name, value in known.items()}


def _exit_code(error: DockerContainerFailedException) -> int | None:
    """DockerOperator has it in its message only: {'StatusCode': 3, ...}."""
    _, _, rest = str(error).partition("'StatusCode': ")
    digits = rest.partition(",")[0].rstrip("}")
    return int(digits) if digits.isdigit() else None
