"""A namespace for tests in a real cluster; run by Airflow's Python, which has the client.

python namespace.py KUBECONFIG make ROLE   # prints how a pod in it would find the API, as JSON
python namespace.py KUBECONFIG pods        # prints how many there are
python namespace.py KUBECONFIG delete
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from kubernetes import client, config, utils

NAMESPACE = "gaiaflow-test-production"
RBAC = "rbac.authorization.k8s.io"


def make(rules: list[dict[str, Any]]) -> dict[str, str]:
    """Make the namespace, with an account that has these rights and no others."""
    metadata = {"name": "airflow", "namespace": NAMESPACE}
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "airflow"},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        },
    ]
    api = client.ApiClient()
    for item in objects:
        utils.create_from_dict(api, item)
    request = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=7200)
    )
    made = client.CoreV1Api().create_namespaced_service_account_token("airflow", NAMESPACE, request)
    known = api.configuration
    authority = Path(known.ssl_ca_cert).read_text(encoding="utf-8")
    return {"token": made.status.token, "server": known.host, "ca": authority}


def main() -> None:
    config.load_kube_config(sys.argv[1])
    core = client.CoreV1Api()
    if sys.argv[2] == "make":
        print(json.dumps(make(json.loads(sys.argv[3]))))
    elif sys.argv[2] == "pods":
        print(len(core.list_namespaced_pod(NAMESPACE).items))
    else:
        core.delete_namespace(NAMESPACE)


if __name__ == "__main__":
    main()
