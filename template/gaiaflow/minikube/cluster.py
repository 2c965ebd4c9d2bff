"""What Gaiaflow keeps in a project's cluster: secrets, and the names of the two servers."""

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

from gaiaflow.errors import GaiaflowError

NAMESPACE = "default"
_MANAGED = {"app.kubernetes.io/managed-by": "gaiaflow"}
_SELECTOR = ",".join(f"{name}={value}" for name, value in _MANAGED.items())


class Cluster:
    """The API of the cluster that a `kube_config_inline` names."""

    def __init__(self, kube_config: Path) -> None:
        if not kube_config.exists():
            raise GaiaflowError(
                f"{kube_config.name} is not there, which says where the cluster is.\n"
                "Make it: python3 minikube_manager.py start"
            )
        api = config.new_client_from_config(str(kube_config), context="host")
        api.configuration.retries = 1
        self._core = client.CoreV1Api(api)
        self._discovery = client.DiscoveryV1Api(api)

    # --- secrets -----------------------------------------------------------------------------

    def set_secret(self, name: str, values: Mapping[str, str]) -> bool:
        """Make a secret, or change these keys of it and keep the others; whether it is new.

        Raises:
            GaiaflowError: the cluster does not answer, or refuses it; or somebody else has made
                the secret, with other values.
        """
        with _explained():
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
        """The secrets made by us: their names, and those of their keys.

        Raises:
            GaiaflowError: the cluster does not answer.
        """
        with _explained():
            known = self._core.list_namespaced_secret(NAMESPACE, label_selector=_SELECTOR).items
        return {secret.metadata.name: sorted(secret.data or {}) for secret in known}

    def delete_secret(self, name: str) -> None:
        """Delete a secret that we have made.

        Raises:
            GaiaflowError: there is none of this name, or the cluster does not answer.
        """
        known = self.secrets()
        if name not in known:
            there = ", ".join(known) or "none"
            raise GaiaflowError(f"There is no secret {name!r}. Made by Gaiaflow: {there}.")
        with _explained():
            self._core.delete_namespaced_secret(name, NAMESPACE)

    # --- servers -----------------------------------------------------------------------------

    def name_server(self, name: str, port: int, address: str, target: int) -> None:
        """Let pods reach a server outside the cluster as NAME:PORT.

        Args:
            name: what pods call it.
            port: the port that pods use.
            address: its IPv4 address, as nodes see it.
            target: its port there.

        Raises:
            GaiaflowError: the cluster does not answer, or refuses it.
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
        with _explained():
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
    """Somebody else's secret may gain keys, but the values that it has stay."""
    known = {key: base64.b64decode(value) for key, value in (secret.data or {}).items()}
    changed = [
        name for name, value in values.items() if known.get(name, value.encode()) != value.encode()
    ]
    if changed:
        name = secret.metadata.name
        raise GaiaflowError(
            f"There is a secret {name!r} already that Gaiaflow has not made, and it has another "
            f"{' and another '.join(changed)}.\nIf nobody needs it, delete it and try again: "
            f"kubectl --kubeconfig kube_config_inline delete secret {name}"
        )


def _put(read: Callable[[], Any], create: Callable[[], Any], change: Callable[[], Any]) -> None:
    """Make an object, or change the one that is there."""
    try:
        read()
    except ApiException as error:
        if error.status != 404:
            raise
        create()
    else:
        change()


@contextmanager
def _explained() -> Iterator[None]:
    """Say in words what the API answers, without the values that it was asked to keep."""
    try:
        yield
    except ApiException as error:
        advice = "Is kube_config_inline of this cluster? Try: python3 minikube_manager.py config"
        if error.status in {403, 409}:  # these messages hold names, never values
            with suppress(KeyError, TypeError, ValueError):
                advice = str(json.loads(error.body)["message"])
        raise GaiaflowError(
            f"The cluster refused it: {error.status} {error.reason}.\n{advice}"
        ) from None
    except MaxRetryError as error:
        if not isinstance(error.reason, SSLError):
            raise GaiaflowError(_silent(error.reason or error)) from None
        raise GaiaflowError(
            f"The certificate of the cluster is not trusted: {error.reason}.\n"
            "Write kube_config_inline again: python3 minikube_manager.py config"
        ) from None
    except (HTTPError, OSError) as error:
        raise GaiaflowError(_silent(error)) from None


def _silent(error: Exception) -> str:
    return (
        f"The cluster does not answer ({type(error).__name__}).\n"
        "Does it run? python3 minikube_manager.py status, ... start"
    )
