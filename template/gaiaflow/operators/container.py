"""The operator of mode `dev_docker`: each task is a container from the project's image."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.docker.exceptions import DockerContainerFailedException
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk.exceptions import AirflowFailException
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.types import DeviceRequest

from gaiaflow.operators.base import GRACE, FunctionTask, identity_of, keeps_failed
from gaiaflow.project import clients, variables
from gaiaflow.project.paths import ROOT, StateFolder

if TYPE_CHECKING:
    from airflow.sdk import Context

_RESULT = "/tmp/gaiaflow-result.json"  # in the container


class ContainerOperator(FunctionTask, DockerOperator):
    """Calls the function in a container that can reach MLflow and the object store."""

    template_fields = FunctionTask.template_fields
    template_ext = FunctionTask.template_ext
    pickling_library = json  # DockerOperator reads the result with it

    def __init__(self, **options: Any) -> None:
        super().__init__(
            image="set when it runs",
            auto_remove="never",  # we remove it once we know why it failed
            mount_tmp_dir=False,
            retrieve_output=True,
            retrieve_output_path=_RESULT,
            **options,
        )

    def call(self, context: Context) -> Any:
        """Run the function and return its result.

        Raises:
            AirflowFailException: there is no image, or the function failed and retries can't help.
            RuntimeError: the function failed, or the container could not be started.
        """
        self.image = self.spec.image or os.environ[variables.IMAGE]
        self.command = ["python", "-m", "gaiaflow.runner", self.spec.function]
        self.network_mode, reach = _network()
        # Airflow does not show these.
        self._private_environment = clients.credentials(os.environ) | self.secrets_env()
        resources = self.spec.resources
        self.cpus = resources.cpu
        self.mem_limit = resources.memory_bytes()
        if resources.gpu:
            self.device_requests = [DeviceRequest(count=resources.gpu, capabilities=[["gpu"]])]
        name = os.environ[variables.NAME]
        labels = {"gaiaflow.project": name, "gaiaflow.task": identity_of(context)}
        self.labels = labels
        keep = keeps_failed()
        try:
            if self.spec.image is None:  # never from a registry, where anybody could use its name
                self.cli.inspect_image(self.image)  # type: ignore[no-untyped-call]
            self.environment = {**reach, **self.call_env(context), variables.RESULT: _RESULT}
            self._sweep(labels)
            result = DockerOperator.execute(self, context)
            keep = False
            return result
        except DockerContainerFailedException as error:
            code = _exit_code(error)
            raise self.failed(code, limited=True, out_of_memory=self._was_oom_killed()) from None
        except (ImageNotFound, NotFound) as error:
            raise AirflowFailException(
                f"There is no image {self.image}: {error}\n"
                "Build the project's image: python3 mlops_manager.py build"
            ) from None
        except DockerException as error:
            raise RuntimeError(
                f"Docker did not run the task: {error}\n"
                "Is Docker running, and the stack started? Check: python3 mlops_manager.py doctor"
            ) from error
        finally:
            self._end(keep)

    def image_tags(self) -> dict[str, str]:
        """The image's name and id. No id if it is yet to be pulled."""
        tags = {"mlflow.docker.image.uri": self.image}
        with contextlib.suppress(ImageNotFound):
            found = self.cli.inspect_image(self.image)  # type: ignore[no-untyped-call]
            tags["mlflow.docker.image.id"] = str(found["Id"])
        return tags

    def on_kill(self) -> None:
        """End the container before Airflow continues."""
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
        """Remove the container of an earlier try whose scheduler was killed."""
        filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
        for left in self.cli.containers(all=True, filters=filters):
            self.log.info("Removing the container of an earlier try")
            self.cli.remove_container(left["Id"], force=True)


def _network() -> tuple[str, dict[str, str]]:
    """A task's network, and the variables with which it finds the servers there."""
    if network := os.environ.get(variables.NETWORK):  # the compose stack's
        return network, clients.task_env(os.environ, in_stack=True)
    StateFolder(ROOT).task_containers.write_text(os.environ[variables.NAME])
    known = clients.task_env(os.environ, in_stack=False)
    if sys.platform == "linux":  # servers that run as processes answer only on 127.0.0.1
        return "host", known
    host = "host.docker.internal"  # Docker Desktop's name for this machine
    return "bridge", {name: value.replace("127.0.0.1", host) for name, value in known.items()}


def _exit_code(error: DockerContainerFailedException) -> int | None:
    """Parse the exit code, which is only in DockerOperator's message: {'StatusCode': 3, ...}."""
    _, _, rest = str(error).partition("'StatusCode': ")
    digits = rest.partition(",")[0].rstrip("}")
    return int(digits) if digits.isdigit() else None
