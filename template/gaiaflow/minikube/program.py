"""Run `minikube` for this project's profile; interpret its JSON events and exit codes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plumbum import CommandNotFound, ProcessExecutionError, local
from plumbum.commands import BaseCommand

from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project

_PREFIX = "io.k8s.sigs.minikube."
# Exit codes that our commands can fix; for all others, minikube's message says what helps.
# https://minikube.sigs.k8s.io/docs/contrib/errorcodes
NO_PROFILE = 85
_START = "Start it: python3 minikube_manager.py start"
_AGAIN = "Create it again: python3 minikube_manager.py clean, then ... start"
_LESS = "Ask for less: MINIKUBE_MEMORY=4g or MINIKUBE_CPUS=2 in .env"
_FIXES = {
    11: _AGAIN,
    23: _LESS,
    29: _LESS,
    50: _AGAIN,
    51: _AGAIN,
    80: _AGAIN,
    83: _START,
    NO_PROFILE: _START,
    89: "Restart it: python3 minikube_manager.py restart",
    100: _AGAIN,
    103: _START,
    110: _AGAIN,
}

Notify = Callable[[str, str, str], None]


def profile(project: Project) -> str:
    """The name of the project's cluster, unique to the project."""
    return project.env["COMPOSE_PROJECT_NAME"]


def own_kube_config(project: Project) -> Path:
    """The kubeconfig that minikube writes instead of the user's own."""
    return project.state.kubeconfig


def start(project: Project, notify: Notify) -> None:
    """Create or start the cluster, and report minikube's progress.

    Raises:
        GaiaflowError: minikube failed; the message says why and what to do.
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
            if not event:  # such as a warning from kubectl
                said.append(line.rstrip())
            elif kind == "step":
                steps = f"{data.get('currentstep', '')}/{data.get('totalsteps', '')}"
                notify("minikube", "starting", f"{steps} {data.get('name', '')}")
            elif kind in {"download", "download.progress"}:
                done = round(float(data.get("progress") or 0) * 100)
                notify("minikube", "starting", f"downloading {data.get('artifact', '')} ({done} %)")
            elif kind == "error":
                said += filter(None, [data.get("message"), data.get("advice")])
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        raise GaiaflowError(explain(process.returncode, "\n".join(said)))
    notify("minikube", "healthy", "")


def run(project: Project, *arguments: str) -> str:
    """Run a minikube command and return its output.

    Raises:
        GaiaflowError: minikube failed; the message says why and what to do.
    """
    try:
        return str(_command(project, *arguments)())
    except ProcessExecutionError as error:
        said = error.stderr or error.stdout
        raise GaiaflowError(explain(int(error.retcode or 1), str(said))) from None


def status(project: Project) -> list[dict[str, Any]]:
    """The nodes as minikube sees them: {"Name", "Host", "Kubelet", "APIServer", "Kubeconfig"}.

    The list is empty without a cluster. Exit codes 1 to 7 only repeat it as bits.

    Raises:
        GaiaflowError: minikube is not installed, or cannot tell.
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
    """The message for a failure of minikube: its output, and our fix if there is one."""
    tail = "\n".join(said.strip().splitlines()[-15:])
    fix = _FIXES.get(code) or ("" if tail else "Look closer: python3 mlops_manager.py doctor")
    return "\n".join(filter(None, [f"minikube failed with exit code {code}.", tail, fix]))


def _command(project: Project, *arguments: str) -> BaseCommand:
    try:
        minikube = local["minikube"]
    except CommandNotFound:
        raise GaiaflowError(
            "minikube was not found.\nInstall it: https://minikube.sigs.k8s.io/docs/start"
        ) from None
    own = {name: value for name, value in project.env.items() if name.startswith("MINIKUBE_")}
    env = {**own, "KUBECONFIG": str(own_kube_config(project)), "MINIKUBE_IN_STYLE": "false"}
    return minikube["--profile", profile(project), arguments].with_env(**env)


def _event(line: str) -> dict[str, Any]:
    """Parse one of minikube's lines as a JSON event; empty if it is none."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
