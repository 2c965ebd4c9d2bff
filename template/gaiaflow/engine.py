"""The Docker engine, and its Compose plugin: how we reach them, and what it means if we don't."""

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

from gaiaflow import processes, source
from gaiaflow.errors import GaiaflowError, explain_output
from gaiaflow.images import package_image
from gaiaflow.settings import Project, own_variables

_DOCTOR = "`python3 mlops_manager.py doctor` looks closer."
_WITHOUT = "Or do without Docker: python3 mlops_manager.py start --backend local"

# What a person's shell may have set for another project.
_NEUTRAL = {
    "COMPOSE_ENV_FILES": "",
    "COMPOSE_FILE": "",
    "COMPOSE_PROFILES": "",
    "DOCKER_CLI_HINTS": "false",
}


def connect() -> docker.DockerClient:
    """A client of the engine that the `docker` command talks to, too.

    Raises:
        GaiaflowError: no engine answers; the message says why, as far as can be known.
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
                f"You may not talk to Docker{where}.\n"
                "Add yourself to its group, then log in anew: sudo usermod -aG docker $USER\n"
                f"{_DOCTOR}\n{_WITHOUT}"
            ) from None
        raise GaiaflowError(
            f"Docker does not answer{where}.\n"
            "Start Docker Desktop, or: sudo systemctl start docker\n"
            f"{_DOCTOR}\n{_WITHOUT}"
        ) from None
    return client


def compose(project: Project, *arguments: str) -> BaseCommand:
    """A command of Docker Compose for a project's containers, with the settings of its `.env`.

    They are passed on as they are, so that none of the same name in a person's shell wins.

    Raises:
        GaiaflowError: there is no `docker` command.
    """
    try:
        command = local["docker"]
    except CommandNotFound:
        raise GaiaflowError(
            f"The command `docker` was not found. Install Docker.\n{_DOCTOR}\n{_WITHOUT}"
        ) from None
    files = ("--project-directory", project.root, "--file", project.root / "docker-compose.yml")
    env = {
        **_NEUTRAL,
        **_unset(project),
        **project.env,
        "PACKAGE_IMAGE": package_image(project),
        "PACKAGE_SOURCE": project.source,
        "GAIAFLOW_COMMIT": source.commit(project.root),
        "GAIAFLOW_SECRETS": json.dumps(own_variables(project)),
        **_for_tasks_in_containers(project),
    }
    every_profile = ("--profile", "*", "--progress", "plain")
    return command["compose", files, every_profile, arguments].with_env(**env)


def _unset(project: Project) -> dict[str, str]:
    """All that docker-compose.yml asks for, as not set: only `.env` is to say it."""
    files = [project.root / "docker-compose.yml", *(project.root / "dockerfiles").rglob("*.yml")]
    names = [re.findall(r"(?<!\$)\$\{(\w+)", file.read_text("utf-8")) for file in files]
    return {name: "" for found in names for name in found}


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Say it in our words if the engine fails or goes away in the middle of it."""
    try:
        yield
    except (DockerException, OSError) as error:
        raise GaiaflowError(f"Docker failed: {error}\n{_DOCTOR}") from None


def end_leftovers(project: Project) -> None:
    """End what a command that was killed has left: Compose would go on starting or building."""
    file = str(project.root / "docker-compose.yml")
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if file in line and not {"logs", "config"} & set(line):  # who reads may go on
            found.append(process)
    processes.terminate(found, grace=10)


class Command:
    """A running command: what it writes line by line, and a way to end it."""

    def __init__(self, command: BaseCommand) -> None:
        self._process: Any = command.popen()

    def lines(self) -> Iterator[str]:
        """Yield what it writes, as it does, to its end.

        Raises:
            GaiaflowError: it failed; the message has the end of what it wrote.
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
        """Make it end if it runs."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def run(command: BaseCommand) -> str:
    """Run a command to its end and return what it prints as its result.

    Raises:
        GaiaflowError: it failed; the message has the end of what it wrote.
    """
    try:
        return str(command())
    except ProcessExecutionError as error:
        written = [*error.stdout.splitlines(), *error.stderr.splitlines()]
        raise GaiaflowError(_failure(written, int(error.retcode or 1))) from None


def sweep(client: docker.DockerClient, name: str) -> None:
    """Remove the containers of a project's tasks, whose scheduler has gone.

    Args:
        client: of the engine.
        name: COMPOSE_PROJECT_NAME of the project.
    """
    for container in client.containers.list(
        all=True, filters={"label": f"gaiaflow.project={name}"}
    ):
        with contextlib.suppress(DockerException):  # it has gone by itself
            container.remove(force=True)


def _for_tasks_in_containers(project: Project) -> dict[str, str]:
    """The engine's socket, and the group that may use it, for the mode that starts containers."""
    socket = Path(os.environ.get("DOCKER_HOST", _SOCKET).removeprefix("unix://"))
    if project.env.get("GAIAFLOW_MODE") != "dev_docker" or not socket.is_socket():
        return {}
    return {"DOCKER_SOCKET": str(socket), "DOCKER_GROUP": str(socket.stat().st_gid)}


_SOCKET = "/var/run/docker.sock"
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _failure(written: list[str], code: int) -> str:
    if any("is not a docker command" in line or "unknown command" in line for line in written):
        return f"Docker has no Compose plugin. {_DOCTOR}"
    tail = explain_output("\n".join(written[-25:]))
    return f"Docker Compose ended with exit code {code}:\n{tail}"
