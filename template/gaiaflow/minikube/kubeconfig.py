"""`kube_config_inline`: the kubeconfig of this project's cluster, and of no other."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gaiaflow.project import envfile
from gaiaflow.project.errors import GaiaflowError

_CERTIFICATES = ("certificate-authority", "client-certificate", "client-key")
_API_PORT = 8443  # of Minikube's API server, inside the cluster's network


def write(source: Path, profile: str, target: Path) -> None:
    """Write a kubeconfig for one of minikube's clusters, with its keys, readable only by its owner.

    It has two contexts: `host` for processes on this machine, and `containers` for the compose
    stack, which finds the node by name.

    Raises:
        GaiaflowError: the source does not contain the cluster.
    """
    try:
        known: dict[str, Any] = yaml.safe_load(source.read_text(encoding="utf-8")) or {}
        cluster = _inline(_named(known["clusters"], profile)["cluster"])
        user = _inline(_named(known["users"], profile)["user"])
    except (OSError, KeyError, TypeError) as error:
        raise GaiaflowError(
            f"Minikube's kubeconfig does not have the cluster {profile} ({error}).\n"
            "Create it again: python3 minikube_manager.py start"
        ) from None
    inside = {**cluster, "server": f"https://{profile}:{_API_PORT}"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "host",
        "clusters": [
            {"name": "host", "cluster": cluster},
            {"name": "containers", "cluster": inside},
        ],
        "users": [{"name": profile, "user": user}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": profile, "namespace": "default"}}
            for name in ("host", "containers")
        ],
    }
    envfile.write(target, yaml.safe_dump(config, sort_keys=False))


def _named(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next((item for item in items if item["name"] == name), {})


def _inline(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the paths of certificates and keys in an entry with their contents."""
    inline = {key: value for key, value in entry.items() if key != "extensions"}
    for name in _CERTIFICATES:
        if path := inline.pop(name, None):
            inline[f"{name}-data"] = base64.b64encode(Path(path).read_bytes()).decode("ascii")
    return inline
