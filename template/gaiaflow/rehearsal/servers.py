"""What a team's cluster has already: Postgres, an object store and the project's repository."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gaiaflow.rehearsal.programs import Json, Kubectl
from gaiaflow.release.git import Git

NAMESPACE = "rehearsal"
POSTGRES = f"postgres.{NAMESPACE}.svc"
STORE = f"http://object-store.{NAMESPACE}.svc:8333"
REPOSITORY = f"git://git.{NAMESPACE}.svc/project.git"

_SCRIPTS = "postgres-scripts"  # a config map
_FOLDER = "/srv/project.git"
_SERVE = f"""\
git init --quiet --bare {_FOLDER}
git -C {_FOLDER} config receive.shallowUpdate true
exec git daemon --export-all --reuseaddr --base-path=/srv /srv
"""


def objects(
    postgres: Json, store: Json, scripts: Path, airflow_image: str, mlflow_image: str, bucket: Json
) -> list[Json]:
    """The servers' objects. Nothing is kept when a pod ends.

    Args:
        postgres, store: their services in docker-compose.yml, with all settings.
        scripts: a folder with what Postgres runs when its data is new.
        airflow_image: has git.
        mlflow_image: has boto3, to create the bucket.
        bucket: variables for boto3, and the bucket's name as S3_BUCKET.
    """
    files = {file.name: file.read_text(encoding="utf-8") for file in sorted(scripts.iterdir())}
    data = "/var/lib/postgresql/data"
    database = {**_environment(postgres), "PGDATA": f"{data}/new"}
    mounted = {"configMap": {"name": _SCRIPTS, "defaultMode": 0o755}}
    volumes: dict[str, Json] = {data: {"emptyDir": {}}, "/docker-entrypoint-initdb.d": mounted}
    git = {"image": airflow_image, "entrypoint": ["sh", "-ec", _SERVE], "user": "50000:0"}
    return [
        _object("Namespace", NAMESPACE, {}),
        _object("ConfigMap", _SCRIPTS, {"data": files}),
        *_server("postgres", postgres, 5432, database, volumes),
        *_server("object-store", store, 8333, _environment(store), {"/data": {"emptyDir": {}}}),
        *_server("git", git, 9418, {}, {"/srv": {"emptyDir": {}}}),
        *_bucket(mlflow_image, bucket),
    ]


def push(kubectl: Kubectl, git: Git, commit: str, branch: str) -> None:
    """Push a commit to the repository in the cluster.

    Raises:
        GaiaflowError: git failed.
    """
    place = ("--kubeconfig", str(kubectl.config), "--namespace", NAMESPACE)
    receive = ("exec", "--stdin", "deployment/git", "--", "git-receive-pack", _FOLDER)
    # https://git-scm.com/docs/git-remote-ext
    command = (part.replace("%", "%%").replace(" ", "% ") for part in ("kubectl", *place, *receive))
    address = f"ext::{' '.join(command)}"
    refs = f"{commit}:refs/heads/{branch}"
    git.run("push", "--quiet", "--force", address, refs, GIT_ALLOW_PROTOCOL="ext")


def _server(
    name: str, service: Json, port: int, env: Mapping[str, str], volumes: Mapping[str, Json]
) -> list[Json]:
    """A server with one pod, as Compose describes its container."""
    user, _, group = str(service["user"]).partition(":")
    mounts = [{"name": f"v{i}", "mountPath": path} for i, path in enumerate(volumes)]
    container = {
        "name": name,
        "image": service["image"],
        "imagePullPolicy": "IfNotPresent",
        "envFrom": [{"secretRef": {"name": name}}],
        "ports": [{"name": "main", "containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 30},
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "volumeMounts": mounts,
    }
    # What Compose calls an entrypoint is Kubernetes' command.
    for theirs, ours in (("entrypoint", "command"), ("command", "args")):
        if service.get(theirs):
            container[ours] = [_text(part) for part in service[theirs]]
    spec = {
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsUser": int(user),
            "runAsGroup": int(group),
            "fsGroup": int(group),
        },
        "containers": [container],
        "volumes": [{"name": f"v{i}", **volume} for i, volume in enumerate(volumes.values())],
    }
    labels = {"app.kubernetes.io/name": name}
    pod = {"metadata": {"labels": labels}, "spec": spec}
    deployment = {"selector": {"matchLabels": labels}, "strategy": {"type": "Recreate"}}
    ports = [{"port": port, "targetPort": "main"}]
    return [
        _object("Secret", name, {"stringData": dict(env)}),
        _object("Deployment", name, {"spec": {**deployment, "template": pod}}, "apps/v1"),
        _object("Service", name, {"spec": {"selector": labels, "ports": ports}}),
    ]


def _bucket(image: str, env: Mapping[str, str]) -> list[Json]:
    """A job that creates the bucket."""
    container = {
        "name": "bucket",
        "image": image,
        "command": ["python", "-m", "gaiaflow.entrypoints.containers", "bucket"],
        "envFrom": [{"secretRef": {"name": "bucket"}}],
    }
    pod = {"restartPolicy": "OnFailure", "containers": [container]}
    return [
        _object("Secret", "bucket", {"stringData": dict(env)}),
        _object("Job", "bucket", {"spec": {"template": {"spec": pod}}}, "batch/v1"),
    ]


def _object(kind: str, name: str, content: Json, version: str = "v1") -> Json:
    metadata = {"name": name} if kind == "Namespace" else {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def _environment(service: Json) -> dict[str, str]:
    return {name: _text(value) for name, value in (service.get("environment") or {}).items()}


def _text(value: Any) -> str:
    """A value from Compose, which doubles the dollar."""
    return "" if value is None else str(value).replace("$$", "$")
