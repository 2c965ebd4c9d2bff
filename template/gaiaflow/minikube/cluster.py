"""What Gaiaflow stores in a project's cluster: secrets, and names for the two servers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from gaiaflow.project.errors import GaiaflowError

NAMESPACE = "default"
_MANAGED = {"app.kubernetes.io/managed-by": "gaiaflow"}
_SELECTOR = ",".join(f"{name}={value}" for name, value in _MANAGED.items())


class Cluster:
    """The API of the cluster that a `kube_config_inline` names."""

    def __init__(self, kube_config: Path) -> None:
        if not kube_config.exists():
            raise GaiaflowError(
                f"{kube_config.name}, which tells where the cluster is, does not exist.\n"
                "Create it: python3 minikube_manager.py start"
            )
        self.api = config.new_client_from_config(str(kube_config), context="host")
        self.api.configuration.retries = 1
        self._core = client.CoreV1Api(self.api)
        self._discovery = client.DiscoveryV1Api(self.api)

    # --- secrets -----------------------------------------------------------------------------

    def set_secret(self, name: str, values: Mapping[str, str]) -> bool:
        """Create a secret, or change these keys and keep its others. Return whether it is new.

        Raises:
            GaiaflowError: the cluster does not answer or refuses the change, or the secret is not
                Gaiaflow's and has different values.
        """
        with explained():
            found = self._secret(name)
            if found is None:
                metadata = client.V1ObjectMeta(name=name, labels=_MANAGED)
                body = client.V1Secret(metadata=metadata, string_data=dict(values))
                self._core.create_namespaced_secret(NAMESPACE, body)
                return True
            if not _MANAGED.items() <= (found.metadata.labels or {}).items():
                _refuse_changes(found, values)
            found.string_data = dict(values)
            self._core.replace_namespaced_secret(name, NAMESPACE, found)
            return False

    def _secret(self, name: str) -> Any:
        try:
            return self._core.read_namespaced_secret(name, NAMESPACE)
        except ApiException as error:
            if error.status != 404:
                raise
            return None

    def secrets(self) -> dict[str, list[str]]:
        """The names of Gaiaflow's secrets, each with the names of its keys.

        Raises:
            GaiaflowError: the cluster does not answer.
        """
        with explained():
            known = self._core.list_namespaced_secret(NAMESPACE, label_selector=_SELECTOR).items
        return {secret.metadata.name: sorted(secret.data or {}) for secret in known}

    def delete_secret(self, name: str) -> None:
        """Delete one of Gaiaflow's secrets.

        Raises:
            GaiaflowError: there is no such secret, or the cluster does not answer.
        """
        known = self.secrets()
        if name not in known:
            there = ", ".join(known) or "none"
            raise GaiaflowError(f"There is no secret {name!r}. Gaiaflow's secrets: {there}.")
        with explained():
            self._core.delete_namespaced_secret(name, NAMESPACE)

    # --- servers -----------------------------------------------------------------------------

    def name_server(self, name: str, port: int, address: str, target: int) -> None:
        """Let pods reach a server outside the cluster as NAME:PORT.

        Args:
            name: the host name that pods use.
            port: the port that pods use.
            address: the server's IPv4 address, as nodes see it.
            target: the server's port at that address.

        Raises:
            GaiaflowError: the cluster does not answer, or refuses the change.
        """
        labels = {**_MANAGED, "kubernetes.io/service-name": name}
        service = client.V1Service(
            metadata=client.V1ObjectMeta(name=name, labels=_MANAGED),
            spec=client.V1ServiceSpec(
                ports=[client.V1ServicePort(name="http", port=port, target_port=target)]
            ),
        )
        endpoints = client.V1EndpointSlice(
            metadata=client.V1ObjectMeta(name=name, labels=labels),
            address_type="IPv4",
            endpoints=[
                client.V1Endpoint(
                    addresses=[address], conditions=client.V1EndpointConditions(ready=True)
                )
            ],
            ports=[client.DiscoveryV1EndpointPort(name="http", port=target, protocol="TCP")],
        )
        with explained():
            _put(
                lambda: self._core.read_namespaced_service(name, NAMESPACE),
                lambda: self._core.create_namespaced_service(NAMESPACE, service),
                lambda: self._core.patch_namespaced_service(name, NAMESPACE, service),
            )
            _put(
                lambda: self._discovery.read_namespaced_endpoint_slice(name, NAMESPACE),
                lambda: self._discovery.create_namespaced_endpoint_slice(NAMESPACE, endpoints),
                lambda: self._discovery.replace_namespaced_endpoint_slice(
                    name, NAMESPACE, endpoints
                ),
            )


def _refuse_changes(secret: Any, values: Mapping[str, str]) -> None:
    """Raise an error if this would change existing values in somebody else's secret."""
    known = {key: base64.b64decode(value) for key, value in (secret.data or {}).items()}
    changed = [
        name for name, value in values.items() if known.get(name, value.encode()) != value.encode()
    ]
    if changed:
        name = secret.metadata.name
        raise GaiaflowError(
            f"A secret {name!r} that is not Gaiaflow's already has a different "
            f"{' and a different '.join(changed)}.\nIf nobody needs it, delete it and try again: "
            f"kubectl --kubeconfig kube_config_inline delete secret {name}"
        )


def _put(read: Callable[[], Any], create: Callable[[], Any], change: Callable[[], Any]) -> None:
    """Create an object, or change the existing one."""
    try:
        read()
    except ApiException as error:
        if error.status != 404:
            raise
        create()
    else:
        change()


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors of the API into messages that never contain secret values."""
    try:
        yield
    except ApiException as error:
        advice = "Is kube_config_inline for this cluster? Try: python3 minikube_manager.py config"
        if error.status in {403, 409}:  # these messages contain names, never values
            with suppress(KeyError, TypeError, ValueError):
                advice = str(json.loads(error.body)["message"])
        raise GaiaflowError(
            f"The cluster refused the request: {error.status} {error.reason}.\n{advice}"
        ) from None
    except MaxRetryError as error:
        if not isinstance(error.reason, SSLError):
            raise GaiaflowError(_silent(error.reason or error)) from None
        raise GaiaflowError(
            f"The cluster's certificate is not trusted: {error.reason}.\n"
            "Write kube_config_inline again: python3 minikube_manager.py config"
        ) from None
    except (HTTPError, OSError) as error:
        raise GaiaflowError(_silent(error)) from None


def _silent(error: Exception) -> str:
    return (
        f"The cluster does not answer ({type(error).__name__}).\n"
        "Start it: python3 minikube_manager.py start"
    )
