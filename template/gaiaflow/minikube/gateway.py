"""Let pods reach this project's MLflow and object store, whichever backend runs them."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

from gaiaflow import backends
from gaiaflow.backends import processes
from gaiaflow.minikube import program
from gaiaflow.minikube.cluster import Cluster
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project

_ADDRESS = re.compile(r"\b(\d{1,3}(\.\d{1,3}){3})\b")
_NAME = "minikube-gateway"
# The servers: the name and port that pods use, and the setting for the local port.
_SERVERS = {"mlflow": (5000, "MLFLOW_PORT"), "object-store": (8333, "OBJECT_STORE_PORT")}


def address(project: Project) -> str:
    """The address at which pods reach this machine.

    Raises:
        GaiaflowError: the cluster is not running.
    """
    known = program.run(project, "ssh", "--", "getent", "hosts", "host.minikube.internal")
    found = _ADDRESS.search(known)
    if not found:
        raise GaiaflowError(f"Minikube does not know this machine's address: {known.strip()!r}")
    return found[1]


def connect(project: Project) -> None:
    """Let pods reach the servers by name: `http://mlflow:5000`, `http://object-store:8333`.

    Raises:
        GaiaflowError: the cluster is not running or does not answer.
    """
    cluster = Cluster(project.root / "kube_config_inline")
    if backends.active(project.state) == "compose":
        for name, inside in _join_network(project).items():
            port, _ = _SERVERS[name]
            cluster.name_server(name, port, inside, port)
        return
    gateway = address(project)
    for name, (port, setting) in _SERVERS.items():
        cluster.name_server(name, port, gateway, project.port(setting))
    start_forwarding(project, gateway)


def start_forwarding(project: Project, gateway: str) -> None:
    """Forward connections from the gateway to 127.0.0.1, if this machine has its address.

    If not (Docker Desktop), pods reach 127.0.0.1 through the gateway anyway.
    """
    stop_forwarding(project)
    if not _is_here(gateway):
        return
    ports = [str(project.port(setting)) for _, setting in _SERVERS.values()]
    command = [sys.executable, "-m", "gaiaflow.entrypoints.forward", gateway, *ports]
    env = {**os.environ, "PYTHONPATH": str(project.root)}
    log = project.state.logs / f"{_NAME}.log"
    process = processes.spawn(command, env, project.root, _NAME, log)
    processes.remember(_record(project), process, project.root)


def stop_forwarding(project: Project) -> None:
    """End the process that `start_forwarding` started."""
    leader = processes.recall(_record(project), project.root)
    members = processes.families(project.root, {_NAME: leader}).get(_NAME, [])
    processes.terminate(members, grace=2)
    _record(project).unlink(missing_ok=True)


def _record(project: Project) -> Path:
    folder = project.state.minikube
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{_NAME}.json"


def _is_here(gateway: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((gateway, 0))
        except OSError:
            return False
    return True


def _join_network(project: Project) -> dict[str, str]:
    """Connect the stack's containers to the cluster's network; return the servers' addresses there.

    Airflow's scheduler joins too because it starts the pods.
    """
    from docker.errors import APIError, NotFound

    from gaiaflow.backends import engine

    docker = engine.connect()
    try:
        network = docker.networks.get(program.profile(project))
    except NotFound:
        raise GaiaflowError(
            "Minikube has no Docker network: with this driver, its pods can't reach containers.\n"
            "Use the default driver, or: python3 mlops_manager.py start --backend local"
        ) from None
    name = project.env["COMPOSE_PROJECT_NAME"]
    found = {}
    for service in (*_SERVERS, "airflow-scheduler"):
        labels = [f"com.docker.compose.project={name}", f"com.docker.compose.service={service}"]
        containers = docker.containers.list(filters={"label": labels}, ignore_removed=True)
        if not containers:
            raise GaiaflowError(
                f"{service} is not running.\nStart the stack first: python3 mlops_manager.py start"
            )
        [container] = containers
        if network.name not in container.attrs["NetworkSettings"]["Networks"]:
            try:
                network.connect(container, aliases=[service])
            except APIError as error:
                raise GaiaflowError(f"{service} cannot join Minikube's network: {error}") from None
            container.reload()
        if service in _SERVERS:
            joined = container.attrs["NetworkSettings"]["Networks"][network.name]
            found[service] = str(joined["IPAddress"])
    return found
