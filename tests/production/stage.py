"""A stage of a project in a real cluster; run by Airflow's Python, which has the client.

python stage.py KUBECONFIG make FOLDER IMAGE   # what the project in FOLDER needs
python stage.py KUBECONFIG quota               # from now on, no pod fits
python stage.py KUBECONFIG pods                # prints how many there are
python stage.py KUBECONFIG delete
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config, utils
from kubernetes.client.exceptions import ApiException

TASKS, AIRFLOW = "gaiaflow-test-science", "gaiaflow-test-airflow"
SECRETS = {
    TASKS: {
        "gaiaflow": (
            "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY MLFLOW_TRACKING_USERNAME "
            "MLFLOW_TRACKING_PASSWORD"
        ),
        "mlflow": "MLFLOW_BACKEND_STORE_URI",
        "serving": "SERVING_KEY",
    },
    AIRFLOW: {
        "airflow-database": "connection pgbouncer.ini users.txt stats",
        "airflow-keys": "fernet-key api-secret-key jwt-secret",
        "airflow-connections": "AIRFLOW_CONN_GIT_PROJECT AIRFLOW_CONN_LOGS",
        "airflow-login": "client-id client-secret metadata-url",
        "airflow-tls": "tls.crt tls.key",
    },
}
CANARY = "canary-value-of-a-secret"


def objects(folder: Path, image: str) -> list[dict[str, Any]]:
    """Namespaces, secrets, the launcher's role for both accounts, and a pod named dag-processor."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    made: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for name in (TASKS, AIRFLOW)
    ]
    for namespace, secrets in SECRETS.items():
        for name, keys in secrets.items():
            values = dict.fromkeys(keys.split(), CANARY)
            metadata = {"name": name, "namespace": namespace}
            made.append(
                {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}
            )
    text = (folder / "deploy" / "tasks" / "launcher.yaml").read_text(encoding="utf-8")
    for item in yaml.safe_load_all(text):
        item["metadata"]["namespace"] = TASKS
        for subject in item.get("subjects", ()):
            subject["namespace"] = AIRFLOW
            metadata = {"name": subject["name"], "namespace": AIRFLOW}
            made.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
        made.append(item)
    return [*made, sleeping(image)]


def sleeping(image: str) -> dict[str, Any]:
    """A pod where Airflow's dag-processor would be; it only waits."""
    labels = {"tier": "airflow", "component": "dag-processor"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "dag-processor", "namespace": AIRFLOW, "labels": labels},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 50000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "dag-processor",
                    "image": image,
                    "command": ["sleep", "3600"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def wait_for_account(core: client.CoreV1Api, limit: float = 60) -> None:
    """Wait for the account that every new namespace gets: pods are refused without it."""
    deadline = time.monotonic() + limit
    while True:
        try:
            core.read_namespaced_service_account("default", AIRFLOW)
            return
        except ApiException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main() -> None:
    config.load_kube_config(sys.argv[1])
    core = client.CoreV1Api()
    if sys.argv[2] == "make":
        for item in objects(Path(sys.argv[3]), sys.argv[4]):
            if item["kind"] == "Pod":
                wait_for_account(core)
            utils.create_from_dict(client.ApiClient(), item)
    elif sys.argv[2] == "quota":
        body = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
        core.create_namespaced_resource_quota(TASKS, body)
    elif sys.argv[2] == "pods":
        print(len(core.list_namespaced_pod(TASKS).items))
    else:
        for name in (TASKS, AIRFLOW):
            with contextlib.suppress(ApiException):
                core.delete_namespace(name)


if __name__ == "__main__":
    main()
