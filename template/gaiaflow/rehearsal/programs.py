"""The programs `kubectl` and `helm`, for the project's own cluster."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from plumbum import CommandNotFound, local
from plumbum.commands.base import BaseCommand

from gaiaflow.project.errors import GaiaflowError
from gaiaflow.release import running

Json = dict[str, Any]

_INSTALL = {
    "kubectl": "https://kubernetes.io/docs/tasks/tools",
    "helm": "https://helm.sh/docs/intro/install",
}
_FORWARDING = re.compile(r"127\.0\.0\.1:(\d+) ->")
_TAIL = 15  # lines of a failed program's output


def find(name: str) -> BaseCommand:
    """A program.

    Raises:
        GaiaflowError: it is not installed.
    """
    try:
        return local[name]
    except CommandNotFound:
        raise GaiaflowError(f"{name} was not found.\nInstall it: {_INSTALL[name]}") from None


def run(command: BaseCommand, stdin: str = "") -> str:
    """Run a program and return its output.

    Raises:
        GaiaflowError: it failed; the message contains the end of what it says.
    """
    done = running.run(command, stdin)
    if done.code:
        said = (done.err.strip() or done.out.strip()).splitlines()[-_TAIL:]
        name = Path(str(command.formulate()[0])).name
        raise GaiaflowError("\n".join([f"{name} failed with exit code {done.code}.", *said]))
    return done.out


class Kubectl:
    """kubectl with the kubeconfig of a cluster.

    Args:
        config: the kubeconfig.

    Raises:
        GaiaflowError: kubectl is not installed.
    """

    def __init__(self, config: Path) -> None:
        self.config = config
        self._program = find("kubectl")["--kubeconfig", config]

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Run a command and return its output.

        Raises:
            GaiaflowError: it failed.
        """
        return run(self._program[arguments], stdin)

    def get(self, *arguments: str) -> list[Json]:
        """The objects that `kubectl get` finds."""
        return list(json.loads(self("get", *arguments, "--output=json"))["items"])

    def apply(self, objects: Iterable[Json]) -> None:
        """Create objects, or change them."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        # On the server: on the client, it would store what it is given in an annotation as well.
        options = ("--server-side", "--force-conflicts", "--filename=-")
        self("apply", *options, stdin=json.dumps(listed))

    @contextlib.contextmanager
    def forward(self, namespace: str, target: str, port: int) -> Iterator[int]:
        """Forward a free local port to a port in the cluster, and yield it.

        Raises:
            GaiaflowError: nothing answers there.
        """
        options = ("--namespace", namespace, "--address=127.0.0.1", target, f":{port}")
        process: Any = self._program["port-forward", options].popen()
        try:
            found = _FORWARDING.search(process.stdout.readline().decode(errors="replace"))
            if not found:
                said = process.stderr.read().decode(errors="replace").strip()
                raise GaiaflowError(f"{target} in {namespace} can't be reached: {said}")
            yield int(found[1])
        finally:
            process.terminate()
            process.communicate()
