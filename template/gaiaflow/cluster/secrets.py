"""Check that the secrets exist, with their keys. Only names and keys are looked at."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from gaiaflow.cluster.api import Api, Json
from gaiaflow.cluster.profile import default_profile
from gaiaflow.cluster.registries import registry
from gaiaflow.cluster.stage import Stage
from gaiaflow.cluster.subject import Subject
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.project.clients import CREDENTIALS, CREDENTIALS_SECRET

_GUIDE = "# What each key holds: docs, How-to, Airflow on a cluster, Create the secrets."

# Namespace and name of a secret, with the keys that it must have.
Expected = dict[tuple[str, str], set[str]]


def secrets(subject: Subject) -> Finding | None:
    """Check the secrets of Airflow, of MLflow, of predictions and of tasks."""
    stage = subject.stage
    wanted = {which: keys for which, keys in _named(stage).items() if subject.inside(which[0])}
    if not wanted or not (api := subject.answers):
        return None
    found = {which: _keys(api, *which) for which in wanted}
    _share_connections(stage, wanted, found)
    wrong, fix = [], []
    for (namespace, name), keys in wanted.items():
        known = found[namespace, name]
        if known is None:
            wrong.append(f"{namespace} lacks {name}")
            fix.append(_create(namespace, name, keys))
        elif missing := sorted(keys - known):
            wrong.append(f"{name} in {namespace} lacks {', '.join(missing)}")
            fix.append(f"kubectl edit secret {name} --namespace {namespace}    # values in base64")
    if not wrong:
        return Finding("secrets", OK, f"all {len(wanted)} exist, with their keys")
    return Finding("secrets", PROBLEM, "; ".join(wrong), "\n".join([*fix, _GUIDE]))


def pull_secrets(subject: Subject) -> Finding | None:
    """Check the secrets with which nodes get images from the registry."""
    stage = subject.stage
    wanted = [
        (stage.tasks, str(n)) for n in default_profile(stage.folder).get("image_pull_secrets", ())
    ]
    for one in stage.entries("imagePullSecrets"):
        wanted.append((stage.airflow, str(one["name"] if isinstance(one, dict) else one)))
    wanted = [one for one in wanted if subject.inside(one[0])]
    if not wanted or not (api := subject.answers):
        return None
    deployed = subject.deployment
    host = registry(deployed.image) if deployed and deployed.image else ""
    for namespace, name in wanted:
        found = api.find(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        create = (
            f"kubectl create secret docker-registry {name} --namespace {namespace} "
            f"--docker-server={host or 'REGISTRY'} "
            "--docker-username=NAME --docker-password=TOKEN"
        )
        if found is None:
            return Finding("pull-secrets", PROBLEM, f"{namespace} lacks {name}", create)
        known = _registries(found)
        if known is None:
            what = f"{name} in {namespace} is not a secret for a registry"
            fix = f"kubectl delete secret {name} --namespace {namespace}\n{create}"
            return Finding("pull-secrets", PROBLEM, what, fix)
        if namespace == stage.tasks and host and not any(host in one for one in known):
            what = f"{name} in {namespace} is for {', '.join(known) or 'no registry'}, not {host}"
            return Finding("pull-secrets", WARNING, what, create)
    return Finding("pull-secrets", OK, ", ".join(f"{name} in {where}" for where, name in wanted))


def expected(stage: Stage) -> Expected:
    """The secrets that a stage's files name, each with the keys that it must have."""
    wanted = _named(stage)
    if known := next(filter(None, _sources(stage)), None):
        wanted[stage.airflow, str(known)] |= set(_connections(stage))
    return wanted


def _named(stage: Stage) -> Expected:
    """The same, without the variables of connections."""
    wanted: Expected = {}

    def need(namespace: str, name: object, *keys: object) -> None:
        if name and name != "none":
            wanted.setdefault((namespace, str(name)), set()).update(map(str, keys))

    values, airflow = stage.values, stage.airflow
    need(airflow, values.get("data", {}).get("metadataSecretName"), "connection")
    bouncer = values.get("pgbouncer", {})
    if bouncer.get("enabled"):
        need(airflow, bouncer.get("configSecretName"), "pgbouncer.ini", "users.txt")
        exporter = bouncer.get("metricsExporterSidecar", {})
        need(airflow, exporter.get("statsSecretName"), exporter.get("statsSecretKey", "connection"))
    need(airflow, values.get("fernetKeySecretName"), "fernet-key")
    need(airflow, values.get("apiSecretKeySecretName"), "api-secret-key")
    need(airflow, values.get("jwtSecretName"), "jwt-secret")
    for name in _sources(stage):
        need(airflow, name)
    for reference in _references(values):
        need(airflow, reference.get("name"), reference.get("key"))
    ingress = values.get("ingress", {}).get("apiServer", {})
    for host in ingress.get("hosts", ()) if ingress.get("enabled") else ():
        need(airflow, host.get("tls", {}).get("secretName"), "tls.crt", "tls.key")
    # Those of the project have the same names everywhere.
    need(stage.tasks, CREDENTIALS_SECRET, *CREDENTIALS)
    need(stage.tasks, "mlflow", "MLFLOW_BACKEND_STORE_URI")
    need(stage.tasks, "serving", "SERVING_KEY")
    return wanted


def _share_connections(stage: Stage, wanted: Expected, found: dict[Any, set[str] | None]) -> None:
    """Airflow's connections may be in any of the secrets that its environment comes from."""
    names = _sources(stage)
    whole = [found.get((stage.airflow, str(name))) for name in names]
    known = set().union(*(keys for keys in whole if keys))
    first = next((name for name in names if found.get((stage.airflow, str(name)))), None)
    if first is not None:
        wanted[stage.airflow, str(first)] |= set(_connections(stage)) - known


def _sources(stage: Stage) -> list[Any]:
    """The names of the secrets that Airflow's environment comes from."""
    return [one.get("secretRef", {}).get("name") for one in stage.entries("extraEnvFrom")]


def _connections(stage: Stage) -> Iterator[str]:
    """The variables for the connections that the values name."""
    bundles = stage.values.get("dagProcessor", {}).get("dagBundleConfigList") or []
    names = [one.get("kwargs", {}).get("git_conn_id") for one in bundles]
    logging = stage.values.get("config", {}).get("logging", {})
    if str(logging.get("remote_logging", "")).lower() == "true":
        names.append(logging.get("remote_log_conn_id"))
    return (f"AIRFLOW_CONN_{str(name).upper()}" for name in names if name)


def _references(values: Any) -> Iterator[Json]:
    """All `secretKeyRef` in the values."""
    if isinstance(values, dict):
        if isinstance(values.get("secretKeyRef"), dict):
            yield values["secretKeyRef"]
        for value in values.values():
            yield from _references(value)
    elif isinstance(values, list):
        for value in values:
            yield from _references(value)


def _create(namespace: str, name: str, keys: set[str]) -> str:
    """How to create a secret."""
    if keys == {"tls.crt", "tls.key"}:
        return f"kubectl create secret tls {name} --namespace {namespace} --cert=FILE --key=FILE"
    options = [
        f"--from-file={key}" if "." in key else f"--from-literal={key}=VALUE"
        for key in sorted(keys)
    ]
    return f"kubectl create secret generic {name} --namespace {namespace} {' '.join(options)}"


def _keys(api: Api, namespace: str, name: str) -> set[str] | None:
    found = api.find(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    return None if found is None else set(found.get("data") or {})


def _registries(secret: Json) -> list[str] | None:
    """The registries that a secret is for; None if it is of another kind."""
    try:
        text = base64.b64decode(secret["data"][".dockerconfigjson"])
        return sorted(json.loads(text)["auths"])
    except (KeyError, ValueError, TypeError):
        return None
