"""The API of the cluster in kubectl's current context."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import websocket
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from kubernetes.stream import stream
from urllib3.exceptions import HTTPError
from yaml import YAMLError

from gaiaflow.project.errors import GaiaflowError

Json = dict[str, Any]

_LIMIT = (5.0, 15.0)  # seconds to connect, and to answer
_EXECUTION = 30.0  # seconds for a command in a container


class UnreachableError(GaiaflowError):
    """The API server does not answer."""


class Refused(GaiaflowError):
    """The API server does not do what it was asked.

    `status` is HTTP's, and `action` what was asked, as for `kubectl auth can-i`.
    """

    def __init__(self, status: int, said: str, action: str = "") -> None:
        super().__init__(said)
        self.status = status
        self.action = action


class Api:
    """The API server, asked with the rights of whoever is logged in there.

    Args:
        context: the name of kubectl's context.
        known: where the server is, and how to log in.
        complaint: what went wrong when a program was asked for the log-in.
    """

    def __init__(self, context: str, known: client.Configuration, complaint: str = "") -> None:
        known.retries = False
        self.context = context
        self.complaint = complaint
        self.server = str(known.host)
        self._known = known
        self._client = client.ApiClient(known)

    def get(self, path: str, **query: str) -> Json:
        """An object, or a list of objects.

        Raises:
            Refused: there is none, or it may not be seen.
            UnreachableError: no answer.
        """
        return dict(json.loads(self._call("GET", path, query)[0]))

    def find(self, path: str) -> Json | None:
        """An object; None if there is none."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def items(self, path: str, **query: str) -> list[Json]:
        """The objects of a list."""
        return list(self.get(path, **query)["items"])

    def create(self, path: str, body: Json) -> Json:
        """Make an object; the object as the server has made it."""
        return dict(json.loads(self._call("POST", path, {}, body)[0]))

    def delete(self, path: str, grace: int) -> None:
        """Delete an object, if there is one; its processes get `grace` seconds to end."""
        try:
            self._call("DELETE", path, {}, {"gracePeriodSeconds": grace})
        except Refused as error:
            if error.status != 404:
                raise

    def text(self, path: str, **query: str) -> str:
        """A text, such as a pod's log."""
        return self._call("GET", path, query)[0]

    def clock(self) -> float:
        """Seconds by which the server's clock is ahead of this machine's; it tells full seconds."""
        before = time.time()
        _, headers = self._call("GET", "/version", {})
        middle = (before + time.time()) / 2
        stamp = parsedate_to_datetime(headers["Date"]).timestamp()
        return stamp + 0.5 - middle

    def may(self, namespace: str, verb: str, resource: str, user: str = "") -> bool:
        """Whether whoever is logged in, or another user, may do something.

        Args:
            namespace: where; empty for what is in none.
            verb: such as "create".
            resource: such as "pods", "pods/log" or "deployments.apps".
            user: the name of a service account; default: whoever is logged in.
        """
        kind, _, sub = resource.partition("/")
        kind, _, group = kind.partition(".")
        attributes = {"verb": verb, "resource": kind, "group": group, "subresource": sub}
        if namespace:
            attributes["namespace"] = namespace
        which = "SubjectAccessReview" if user else "SelfSubjectAccessReview"
        spec: Json = {"resourceAttributes": attributes}
        if user:
            spec |= {"user": user, "groups": _groups(user)}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": which, "spec": spec}
        answer = self.create(f"/apis/authorization.k8s.io/v1/{which.lower()}s", review)
        return bool(answer["status"]["allowed"])

    def execute(self, namespace: str, pod: str, container: str, *command: str) -> str:
        """Run a command in a container, and return what it writes.

        Raises:
            Refused: that is not allowed, or the command failed.
            UnreachableError: no answer.
        """
        # A client of its own: `stream` replaces how the client asks.
        core = client.CoreV1Api(client.ApiClient(self._known))
        action = f"create pods/exec --namespace {namespace}"
        try:
            channel = stream(
                core.connect_get_namespaced_pod_exec,
                pod,
                namespace,
                container=container,
                command=list(command),
                stdin=False,
                stdout=True,
                stderr=True,
                tty=False,
                _preload_content=False,
                _request_timeout=_LIMIT[1],
            )
        except (ApiException, AttributeError) as error:
            said = str(_known(error).reason)
            if "Handshake status" not in said:
                raise UnreachableError(said) from None
            is_forbidden = "status 403" in said
            what = f"you may not create pods/exec in {namespace}" if is_forbidden else said
            raise Refused(403 if is_forbidden else 500, what, action) from None
        with contextlib.closing(channel):
            channel.run_forever(timeout=_EXECUTION)
            out = str(channel.read_stdout(timeout=1) or "")
            complaint = str(channel.read_stderr(timeout=1) or "").strip()
            with contextlib.suppress(TypeError, KeyError):  # it was cut off
                if not channel.is_open() and channel.returncode == 0:
                    return out
        last = complaint.splitlines()[-1] if complaint else "no answer"
        raise Refused(500, f"{pod} can't run a command: {last}", action)

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None = None,
    ) -> tuple[str, Mapping[str, str]]:
        try:
            answer = self._client.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params={"Accept": "application/json, */*"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=_LIMIT,
            )
            return answer.data.decode(errors="replace"), answer.headers
        except (ApiException, AttributeError) as error:
            known = _known(error)
            if not known.status:  # a certificate that is not trusted
                raise UnreachableError(_short(known)) from None
            raise Refused(int(known.status), _message(known), _action(method, path)) from None
        except (HTTPError, OSError) as error:
            raise UnreachableError(_short(error)) from None


_VERBS = {"GET": "get", "POST": "create", "DELETE": "delete"}


def connect() -> Api:
    """The cluster in kubectl's current context.

    Raises:
        GaiaflowError: there is no kubeconfig, or it has no current context, or is broken.
    """
    websocket.setdefaulttimeout(_LIMIT[1])  # otherwise, commands in containers wait for ever
    file, known, heard = os.environ.get("KUBECONFIG"), client.Configuration(), _Heard()
    logging.getLogger().addHandler(heard)
    try:
        _, active = config.list_kube_config_contexts(file)
        config.load_kube_config(file, client_configuration=known)
    except (ConfigException, OSError, YAMLError) as error:
        raise GaiaflowError(str(error)) from None
    finally:
        logging.getLogger().removeHandler(heard)
    return Api(str(active["name"]), known, "\n".join(heard.said))


class _Heard(logging.Handler):
    """Keeps what the client logs, such as the errors of programs for a log-in."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def _groups(account: str) -> list[str]:
    """The groups of "system:serviceaccount:NAMESPACE:NAME"."""
    every = "system:serviceaccounts"
    return ["system:authenticated", every, f"{every}:{account.split(':')[2]}"]


def _action(method: str, path: str) -> str:
    """A request as `kubectl auth can-i` understands it: "get secrets --namespace science"."""
    parts = path.partition("/v1/")[2].split("/")
    where = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        where = f" --namespace {parts[1]}"
        parts = parts[2:]
    verb = "list" if method == "GET" and len(parts) == 1 else _VERBS[method]
    return f"{verb} {'/'.join([parts[0], *parts[2:]])}{where}"


def _known(error: Exception) -> ApiException:
    """The refusal itself: the client crashes with another error on one without a body."""
    if isinstance(error, ApiException):
        return error
    if isinstance(error.__context__, ApiException):
        return error.__context__
    raise error


def _message(error: ApiException) -> str:
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return str(json.loads(error.body)["message"])
    return str(error.reason)


def _short(error: Exception) -> str:
    """What is wrong, without the names of Python's objects around it."""
    inner = getattr(error, "reason", None)
    said = str(inner if isinstance(inner, Exception) else error)
    return said.rpartition(">: ")[2] or said
