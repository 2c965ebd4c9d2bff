"""Use the Docker engine and its Compose plugin, and explain their failures."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import psutil
from docker.context import ContextAPI
from docker.errors import DockerException
from plumbum import CommandNotFound, ProcessExecutionError, local
from plumbum.commands import BaseCommand

from gaiaflow import services
from gaiaflow.backends import processes
from gaiaflow.project import source, variables
from gaiaflow.project.errors import GaiaflowError, explain_output
from gaiaflow.project.image import package_image
from gaiaflow.project.project import Project

_DOCTOR = "Look closer: python3 mlops_manager.py doctor"
_WITHOUT = "Or do without Docker: python3 mlops_manager.py start --backend local"

# The user's shell may have set these for another project.
_NEUTRAL = {
    "COMPOSE_ENV_FILES": "",
    "COMPOSE_FILE": "",
    "COMPOSE_PROFILES": "",
    "DOCKER_CLI_HINTS": "false",
}


def connect() -> docker.DockerClient:
    """Connect to the engine that the `docker` command uses.

    Raises:
        GaiaflowError: no engine answers; the message says why, if that is known.
    """
    host = os.environ.get("DOCKER_HOST")
    try:
        if host:
            client = docker.from_env(timeout=60)
        else:
            context = ContextAPI.get_current_context()
            host = context.Host if context else None
            client = docker.DockerClient(
                base_url=host, tls=(context and context.TLSConfig) or False, timeout=60
            )
        client.ping()
    except (DockerException, OSError) as error:
        where = f" at {host}" if host else ""
        if "Permission denied" in str(error):
            raise GaiaflowError(
                f"No permission to use Docker{where}.\n"
                "Add yourself to its group, then log in again: sudo usermod -aG docker $USER\n"
                f"{_DOCTOR}\n{_WITHOUT}"
            ) from None
        raise GaiaflowError(
            f"Docker does not answer{where}.\n"
            "Start Docker Desktop, or: sudo systemctl start docker\n"
            f"{_DOCTOR}\n{_WITHOUT}"
        ) from None
    return client


def compose(project: Project, *arguments: str) -> BaseCommand:
    """A Docker Compose command for a project's containers, with the settings in its `.env`.

    Settings are passed explicitly because Compose prefers variables of the user's shell to `.env`.

    Raises:
        GaiaflowError: there is no `docker` command.
    """
    try:
        command = local["docker"]
    except CommandNotFound:
        raise GaiaflowError(
            f"docker was not found.\nInstall Docker.\n{_DOCTOR}\n{_WITHOUT}"
        ) from None
    files = ["--project-directory", project.root, "--file", project.root / "docker-compose.yml"]
    own = services.own.compose_file(project, services.own_services(project.root))
    if own:
        files += ["--file", own]
    env = {
        **_NEUTRAL,
        **_unset(project),
        **project.env,
        "PACKAGE_IMAGE": package_image(project),
        "PACKAGE_SOURCE": project.source,
        **source.state(project.root),
        variables.SECRETS: json.dumps(project.own_variables()),
        **_for_tasks_in_containers(project),
    }
    every_profile = ("--profile", "*", "--progress", "plain")
    return command["compose", files, every_profile, arguments].with_env(**env)


def _unset(project: Project) -> dict[str, str]:
    """Empty values for all variables in docker-compose.yml: only `.env` may set them."""
    files = [project.root / "docker-compose.yml", *(project.root / "dockerfiles").rglob("*.yml")]
    names = [re.findall(r"(?<!\$)\$\{(\w+)", file.read_text("utf-8")) for file in files]
    return {name: "" for found in names for name in found}


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Turn failures of the engine into messages for users."""
    try:
        yield
    except (DockerException, OSError) as error:
        raise GaiaflowError(f"Docker failed: {error}\n{_DOCTOR}") from None


def end_leftovers(project: Project) -> None:
    """End the processes that a killed command has left: Compose would continue its work."""
    file = str(project.root / "docker-compose.yml")
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if file in line and not {"logs", "config"} & set(line):  # these only read
            found.append(process)
    processes.terminate(found, grace=10)


class Command:
    """A running command: read its output line by line, or end it."""

    def __init__(self, command: BaseCommand) -> None:
        self._process: Any = command.popen()

    def lines(self) -> Iterator[str]:
        """Yield lines of output as they are written, until the command ends.

        Raises:
            GaiaflowError: it failed; the message contains the end of its output.
        """
        written: list[str] = []
        try:
            for out, err in self._process.iter_lines(retcode=None):
                line = _COLOURS.sub("", out or err or "").strip()
                if line:
                    written.append(line)
                    yield line
        finally:
            self.end()
        if self._process.returncode:
            raise GaiaflowError(_failure(written, self._process.returncode))

    def end(self) -> None:
        """End the command if it is still running."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def run(command: BaseCommand) -> str:
    """Run a command and return its output.

    Raises:
        GaiaflowError: it failed; the message contains the end of its output.
    """
    try:
        return str(command())
    except ProcessExecutionError as error:
        written = [*error.stdout.splitlines(), *error.stderr.splitlines()]
        raise GaiaflowError(_failure(written, int(error.retcode or 1))) from None


def sweep(client: docker.DockerClient, name: str) -> None:
    """Remove the containers of a project's tasks when their scheduler is gone.

    Args:
        client: the engine.
        name: the project's COMPOSE_PROJECT_NAME.
    """
    filters: dict[str, str | list[str] | bool] = {"label": f"gaiaflow.project={name}"}
    for container in client.containers.list(all=True, filters=filters, ignore_removed=True):
        with contextlib.suppress(DockerException):  # it is already gone
            container.remove(force=True)


def _for_tasks_in_containers(project: Project) -> dict[str, str]:
    """The engine's socket and the group that may use it, for tasks in mode `dev_docker`."""
    socket = Path(os.environ.get("DOCKER_HOST", _SOCKET).removeprefix("unix://"))
    if project.env.get(variables.MODE) != "dev_docker" or not socket.is_socket():
        return {}
    return {"DOCKER_SOCKET": str(socket), "DOCKER_GROUP": str(socket.stat().st_gid)}


_SOCKET = "/var/run/docker.sock"
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _failure(written: list[str], code: int) -> str:
    if any("is not a docker command" in line or "unknown command" in line for line in written):
        return f"Docker has no Compose plugin.\n{_DOCTOR}"
    tail = explain_output("\n".join(written[-25:]))
    return f"Docker Compose failed with exit code {code}:\n{tail}"
