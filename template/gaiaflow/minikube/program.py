"""The program `minikube`, for this project's profile: its JSON events, its exit codes in words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plumbum import CommandNotFound, ProcessExecutionError, local
from plumbum.commands import BaseCommand

from gaiaflow.errors import GaiaflowError
from gaiaflow.settings import Project

_PREFIX = "io.k8s.sigs.minikube."
_DOCKER = "Start Docker Desktop, or: sudo systemctl start docker"
_ANEW = "Make it anew: python3 minikube_manager.py clean, then ... start"
_MEMORY = "Ask for less with MINIKUBE_MEMORY=4g or MINIKUBE_CPUS=2 in .env, or free some."

NO_PROFILE = 85

# https://minikube.sigs.k8s.io/docs/contrib/errorcodes: what happened, and what to do.
_CODES: Mapping[int, tuple[str, str]] = {
    2: ("minikube was interrupted.", "Do again what you just did."),
    10: ("minikube failed in itself.", "Update it: https://minikube.sigs.k8s.io/docs/start"),
    11: ("minikube found data of another cluster in its way.", _ANEW),
    14: ("this minikube does not know an option that Gaiaflow uses.", "Update minikube."),
    15: ("minikube did not find a file that it needs.", _ANEW),
    16: ("minikube does not support what is configured.", "Look at the MINIKUBE_ lines of .env."),
    18: ("minikube's configuration is wrong.", "See it: minikube config view"),
    20: ("the machine lacks a resource that minikube needs.", _MEMORY),
    23: ("there is too little memory for Minikube.", _MEMORY),
    26: ("there is too little disk space for Minikube.", "Free some; 20 GB are wanted."),
    27: ("you may not do what minikube has to do here.", "Don't run it as root, nor with sudo."),
    29: ("there are too few processors for Minikube, which wants two.", _MEMORY),
    30: ("minikube could not use this machine.", "Its message above says why."),
    35: ("minikube did not find a program or a file of this machine.", "See its message above."),
    37: ("minikube may not write its files.", "Who owns ~/.minikube? Change that with chown."),
    38: ("minikube does not run on this machine.", "https://minikube.sigs.k8s.io/docs/drivers"),
    40: ("minikube could not download what it needs.", "Is the network there? Try again."),
    42: ("a download of minikube's took too long.", "Try again; it goes on where it was."),
    49: ("a server that minikube downloads from is down.", "Try again later."),
    50: ("the driver failed to make the node.", _ANEW),
    51: ("something else already has the name or the address of the node.", _ANEW),
    52: ("the driver did not make the node in time.", "Is the machine busy? Try again."),
    54: ("the driver was called with a wrong option.", "Look at the MINIKUBE_ lines of .env."),
    55: ("Docker is not running.", _DOCKER),
    56: ("the driver does not support what is configured.", "Look at MINIKUBE_DRIVER in .env."),
    57: ("you may not use the driver.", "For Docker: sudo usermod -aG docker $USER; log in anew."),
    58: ("the driver is configured wrongly.", "Look at MINIKUBE_DRIVER in .env."),
    59: ("the driver cannot be used.", _DOCKER),
    60: ("Docker failed.", "Look closer: python3 mlops_manager.py doctor"),
    62: ("Docker did not answer in time.", _DOCKER),
    63: ("Docker is not running.", _DOCKER),
    65: ("Docker was not found.", "Install it: https://docs.docker.com/engine/install"),
    67: ("you may not use Docker.", "sudo usermod -aG docker $USER; then log in anew."),
    69: ("Docker cannot be reached.", _DOCKER),
    70: ("the network of the cluster could not be made.", "A VPN may be in the way; try without."),
    80: ("the node failed.", _ANEW),
    81: ("the node is not what the profile says.", _ANEW),
    82: ("the node did not come up in time.", "Is the machine busy? Try again."),
    83: ("the cluster does not run.", "Start it: python3 minikube_manager.py start"),
    NO_PROFILE: ("there is no cluster yet.", "Make it: python3 minikube_manager.py start"),
    89: ("the node cannot be reached.", "Start it anew: python3 minikube_manager.py restart"),
    90: ("the container runtime in the node failed.", _ANEW),
    100: ("the control plane of Kubernetes failed.", _ANEW),
    102: ("the control plane did not come up in time.", "Is the machine busy? Try again."),
    103: ("the control plane does not run.", "Start it: python3 minikube_manager.py start"),
    110: ("a service of the cluster failed.", _ANEW),
}

Report = Callable[[str, str, str], None]


def profile(project: Project) -> str:
    """The name of the project's cluster, which no other project has."""
    return project.env["COMPOSE_PROJECT_NAME"]


def own_kube_config(project: Project) -> Path:
    """Where minikube writes its kubeconfig, so that the user's own stays as it is."""
    return project.state / "minikube" / "kubeconfig"


def start(project: Project, report: Report) -> None:
    """Create or start the cluster, and tell what minikube does.

    Raises:
        GaiaflowError: it failed; the message says why and what to do.
    """
    own_kube_config(project).parent.mkdir(parents=True, exist_ok=True)
    driver = () if "MINIKUBE_DRIVER" in project.env else ("--driver=docker",)
    options = ("--output=json", "--keep-context", "--embed-certs", *driver)
    said: list[str] = []
    process: Any = _command(project, "start", *options).popen(stderr=subprocess.STDOUT)
    try:
        for raw in process.stdout:
            line = raw.decode("utf-8", errors="replace")
            event = _event(line)
            kind, data = str(event.get("type", "")).removeprefix(_PREFIX), event.get("data", {})
            if not event:  # a warning of kubectl's, say
                said.append(line.rstrip())
            elif kind == "step":
                steps = f"{data.get('currentstep', '')}/{data.get('totalsteps', '')}"
                report("minikube", "starting", f"{steps} {data.get('name', '')}")
            elif kind in {"download", "download.progress"}:
                done = round(float(data.get("progress") or 0) * 100)
                report("minikube", "starting", f"downloads {data.get('artifact', '')} ({done} %)")
            elif kind == "error":
                said += filter(None, [data.get("message"), data.get("advice")])
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        raise GaiaflowError(explain(process.returncode, "\n".join(said)))
    report("minikube", "healthy", "")


def run(project: Project, *arguments: str) -> str:
    """Run a command of minikube's to its end; what it prints.

    Raises:
        GaiaflowError: it failed; the message says why and what to do.
    """
    try:
        return str(_command(project, *arguments)())
    except ProcessExecutionError as error:
        said = error.stderr or error.stdout
        raise GaiaflowError(explain(int(error.retcode or 1), str(said))) from None


def status(project: Project) -> list[dict[str, Any]]:
    """The nodes as minikube sees them, as {"Name", "Host", "Kubelet", "APIServer", "Kubeconfig"}.

    Its exit codes 1 to 7 are bits that say the same once more. No nodes: there is no cluster.

    Raises:
        GaiaflowError: minikube is not there, or cannot tell.
    """
    code, out, err = _command(project, "status", "--output=json").run(retcode=None)
    if code == NO_PROFILE:
        return []
    try:
        found = json.loads(out)
    except ValueError:
        raise GaiaflowError(explain(int(code), str(err or out))) from None
    return found if isinstance(found, list) else [found]


def explain(code: int, said: str) -> str:
    """An exit code of minikube's in words, with what to do, and what it said itself."""
    what, fix = _CODES.get(code) or _CODES.get(code // 10 * 10) or ("minikube failed.", "")
    tail = "\n".join(said.strip().splitlines()[-15:])
    sentence = f"{what[0].upper()}{what[1:]}"
    return "\n".join(filter(None, [f"{sentence} (minikube's exit code {code})", fix, tail]))


def _command(project: Project, *arguments: str) -> BaseCommand:
    try:
        minikube = local["minikube"]
    except CommandNotFound:
        raise GaiaflowError(
            "The program minikube was not found.\n"
            "Install it: https://minikube.sigs.k8s.io/docs/start"
        ) from None
    own = {name: value for name, value in project.env.items() if name.startswith("MINIKUBE_")}
    env = {**own, "KUBECONFIG": str(own_kube_config(project)), "MINIKUBE_IN_STYLE": "false"}
    return minikube["--profile", profile(project), arguments].with_env(**env)


def _event(line: str) -> dict[str, Any]:
    """A line of minikube's as the event that it is; empty if it is none."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
