"""Tasks that are pods, where they don't even start: against the double of the Kubernetes API.

No Docker is needed for that; what pods do when they run is tested in tests/stack/test_modes.py.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.client.models import V1Pod

from gaiaflow import create_task
from gaiaflow.operators import cluster_pod
from gaiaflow.operators import pod as pod_operator
from gaiaflow.operators.pod_manager import Pods
from gaiaflow.operators.pod_troubles import ROLE, refusal, why_stuck

ROOT = Path(__file__).resolve().parents[2]
DOUBLE = ROOT / "tests" / "kubernetes" / "double.py"
DOCS = ROOT / "docs"
IMAGE = "forest-watch:today"


class Cluster:
    """The double, and tasks that find it."""

    def __init__(self, folder: Path, config_file: Path) -> None:
        self.folder = folder
        self.config = config_file
        self.core = client.CoreV1Api(config.new_client_from_config(str(config_file)))
        self.states: dict[str, dict[str, str]] = {}
        self.deferred = 0  # times

    def task(self, mode: str, **options: Any) -> Any:
        with DAG("pipeline", schedule=None) as dag:
            task: Any = create_task("train", "package.train:train", mode=mode, **options)
        task.dag = dag
        if mode == "prod":  # as a program inside the cluster would find it
            task.__dict__["hook"] = pod_operator.Hook(
                IMAGE, in_cluster=False, config_file=str(self.config)
            )
        return task

    def run(self, task: Any, try_number: int = 1) -> Any:
        ti = SimpleNamespace(
            dag_id="pipeline",
            task_id="train",
            run_id="manual__1",
            map_index=-1,
            try_number=try_number,
            start_date=datetime.now(UTC),
            xcom_push=lambda **_: None,
            get_task_states=lambda dag_id, run_ids: self.states,
        )
        context = {"ti": ti, "run_id": ti.run_id, "dag": task.dag}
        try:
            return task.call(context)
        except TaskDeferred as deferred:
            return self.resume(task, context, deferred)

    def resume(self, task: Any, context: dict[str, Any], deferred: TaskDeferred) -> Any:
        """What the triggerer does, and then the task, until it is over."""
        self.deferred += 1
        trigger: Any = deferred.trigger
        assert trigger.serialize()[0] == "gaiaflow_triggers.PodTrigger"
        trigger.__dict__["hook"] = AsyncKubernetesHook(
            conn_id=None, in_cluster=False, config_dict=json.loads(self.config.read_text())
        )
        event = asyncio.run(anext(trigger.run())).payload
        try:
            return getattr(task, deferred.method_name)(context, event)
        except TaskDeferred as again:
            return self.resume(task, context, again)

    def secret(self, name: str) -> None:
        body = client.V1Secret(metadata=client.V1ObjectMeta(name=name), string_data={"A": "1"})
        self.core.create_namespaced_secret("default", body)

    def deny(self, *what: str) -> None:
        (self.folder / "denied").write_text("\n".join(what))

    def move(self, address: str) -> None:
        """Let the kubeconfig say another address."""
        known = json.loads(self.config.read_text())
        known["clusters"][0]["cluster"]["server"] = address
        self.config.write_text(json.dumps(known))

    def manifests(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("pod-*.json"))]

    def pods(self) -> list[Any]:
        return list(self.core.list_namespaced_pod("default").items)


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cluster")
    with (folder / "double.log").open("w") as log:
        process = subprocess.Popen([sys.executable, DOUBLE, folder], stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while not (folder / "kubeconfig.json").exists():
        assert process.poll() is None, (folder / "double.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield folder
    process.terminate()
    process.wait(30)


@pytest.fixture
def cluster(
    double: Path, project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    config_file = tmp_path / "kube_config_inline"
    config_file.write_bytes((double / "kubeconfig.json").read_bytes())
    monkeypatch.setattr(pod_operator, "_KUBE_CONFIG", config_file)
    monkeypatch.setattr(cluster_pod, "ROOT", project_root)
    monkeypatch.setattr(Pods._list.retry, "sleep", lambda _: None)
    monkeypatch.setenv("GAIAFLOW_IMAGE", IMAGE)
    monkeypatch.setenv("GAIAFLOW_NAME", "forest-watch-123")
    cluster = Cluster(double, config_file)
    yield cluster
    cluster.deny()
    for pod in cluster.pods():
        cluster.core.delete_namespaced_pod(pod.metadata.name, "default")
    deadline = time.monotonic() + 60
    while cluster.pods():  # its log, removed below, tells of each pod that goes
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for kind in ("secret", "event"):
        for item in getattr(cluster.core, f"list_namespaced_{kind}")("default").items:
            getattr(cluster.core, f"delete_namespaced_{kind}")(item.metadata.name, "default")
    for file in [*double.glob("pod-*.json"), double / "pods.log"]:
        file.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("image", "digest"),
    [("forest-watch:today", None), ("cr.example.com/forest@sha256:abc", "sha256:abc")],
)
def test_runs_name_the_image(cluster: Cluster, image: str, digest: str | None) -> None:
    with pytest.raises(AirflowFailException):  # no node has it, but the pod is asked for
        cluster.run(cluster.task("prod_local", image=image, resources={"gpu": 1}))
    [pod] = cluster.manifests()
    env = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
    tags = json.loads(env["MLFLOW_RUN_CONTEXT"])
    assert tags["mlflow.docker.image.uri"] == image
    assert tags.get("mlflow.docker.image.id") == digest


# A pod that can't start


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("prod_local", "python3 minikube_manager.py secret earthdata KEY=VALUE"),
        ("prod", "kubectl create secret generic earthdata --namespace default --from-literal=KEY"),
    ],
)
def test_a_missing_secret_is_named_at_once(cluster: Cluster, mode: str, says: str) -> None:
    cluster.secret("gaiaflow")
    with pytest.raises(AirflowFailException, match="secret 'earthdata' does not exist") as caught:
        cluster.run(cluster.task(mode, secrets=["earthdata"]))
    assert says in str(caught.value)
    assert not cluster.pods()  # and the pod has gone


def test_the_credentials_of_minikube_are_made_by_config(cluster: Cluster) -> None:
    with pytest.raises(AirflowFailException, match="secret 'gaiaflow' does not exist") as caught:
        cluster.run(cluster.task("prod_local"))
    assert "python3 minikube_manager.py config" in str(caught.value)


PROFILES = """
[tool.gaiaflow]
package = "forest_watch"

[tool.gaiaflow.resources.default]
service_account = "forest-watch"
image_pull_secrets = ["registry"]

[tool.gaiaflow.resources.training]
memory = "512Gi"
scratch = "200Gi"
node_selector = {pool = "gpu"}
tolerations = [{key = "gpu", operator = "Exists", effect = "NoExecute", tolerationSeconds = 60}]
labels = {team = "forest", "gaiaflow.project" = "of somebody else"}
"""


def test_a_profile_says_where_a_pod_may_run(
    cluster: Cluster, project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        importlib.import_module("gaiaflow.operators.create_task"), "ROOT", project_root
    )
    (project_root / "pyproject.toml").write_text(PROFILES, encoding="utf-8")
    task = cluster.task("prod", resources="training")
    task.patience = 0.5
    with pytest.raises(RuntimeError, match="No node has what the task asks for") as caught:
        cluster.run(task)
    assert "scratch 200Gi" in str(caught.value)
    [manifest] = cluster.manifests()
    spec = manifest["spec"]
    assert spec["serviceAccountName"] == "forest-watch"
    assert spec["automountServiceAccountToken"] is False
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["nodeSelector"] == {"pool": "gpu"}
    assert spec["tolerations"] == [
        {"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
    ]
    labels = manifest["metadata"]["labels"]
    assert (labels["team"], labels["gaiaflow.project"]) == ("forest", "forest-watch-123")
    [volume] = [item for item in spec["volumes"] if item["name"] == "scratch"]
    claim = volume["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert claim["resources"]["requests"] == {"storage": "200Gi"}
    base = spec["containers"][0]
    assert {"name": "scratch", "mountPath": "/scratch"} in base["volumeMounts"]
    assert {"name": "TMPDIR", "value": "/scratch"} in base["env"]


@pytest.mark.parametrize("wish", [{"memory": "512Gi"}, {"gpu": 1}])
def test_what_no_node_of_minikube_has_is_told_at_once(
    cluster: Cluster, wish: dict[str, Any]
) -> None:
    with pytest.raises(AirflowFailException, match="No node has what the task asks for") as caught:
        cluster.run(cluster.task("prod_local", resources=wish))
    [(name, value)] = wish.items()
    assert f"{name} {value}" in str(caught.value)
    assert "Insufficient" in str(caught.value)
    assert "MINIKUBE_MEMORY" in str(caught.value)


@pytest.fixture
def deferring(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in Airflow's image for production, but without its patience."""
    monkeypatch.syspath_prepend(ROOT / "template" / "dockerfiles" / "airflow")
    monkeypatch.setattr(importlib.import_module("gaiaflow_triggers"), "_NOT_BEFORE", 0)
    for name, seconds in {"_SOON": 0, "_POLL": 0.1, "_START": 1}.items():
        monkeypatch.setattr(cluster_pod, name, seconds)
    yield
    del sys.modules["gaiaflow_triggers"]


@pytest.mark.usefixtures("deferring")
def test_a_deferred_task_tells_what_is_wrong_with_its_pod(cluster: Cluster) -> None:
    with pytest.raises(AirflowFailException, match="secret 'earthdata' does not exist"):
        cluster.run(cluster.task("prod", secrets=["earthdata"]))
    assert cluster.deferred > 0
    task = cluster.task("prod", resources={"memory": "512Gi"})
    task.patience = 0.5
    with pytest.raises(RuntimeError, match="No node has what the task asks for"):
        cluster.run(task)
    cluster.deny("get pods")
    with pytest.raises(AirflowFailException, match="does not let Airflow get pods"):
        cluster.run(cluster.task("prod", resources={"memory": "512Gi"}))


@pytest.mark.usefixtures("deferring")
def test_a_task_is_not_resumed_at_once(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["gaiaflow_triggers"], "_NOT_BEFORE", 3)
    began = time.monotonic()
    with pytest.raises(AirflowFailException, match="secret 'earthdata' does not exist"):
        cluster.run(cluster.task("prod", secrets=["earthdata"]))
    assert time.monotonic() - began >= 3 * cluster.deferred > 0


def test_a_node_that_does_not_come_is_told_after_a_while(cluster: Cluster) -> None:
    task = cluster.task("prod", resources={"memory": "512Gi"})
    task.patience = 0.5
    with pytest.raises(RuntimeError, match="No node has what the task asks for"):
        cluster.run(task)  # and not for good: the next try may find another cluster


@pytest.mark.parametrize(
    ("says", "waited", "hopeless"),
    [
        ("", 5, False),  # an autoscaler needs a moment
        ("", 120, True),
        ("TriggeredScaleUp", 120, False),
        ("Nominated", 120, False),
        ("NotTriggerScaleUp", 5, True),
    ],
)
def test_what_an_autoscaler_says_of_a_pod_counts(
    cluster: Cluster, says: str, waited: float, hopeless: bool
) -> None:
    leftover(cluster, "waits", ["pipeline", "manual__1", "train", -1])
    if says:
        body = client.CoreV1Event(
            metadata=client.V1ObjectMeta(name="waits.1"),
            involved_object=client.V1ObjectReference(name="waits"),
            reason=says,
        )
        cluster.core.create_namespaced_event("default", body)
    [pod] = cluster.pods()
    assert cluster.task("prod").pod_manager._no_node_comes(pod, waited) is hopeless


def waiting(reason: str, message: str) -> Any:
    return status([{"waiting": {"reason": reason, "message": message}}])


def status(states: list[dict[str, Any]], condition: str = "") -> Any:
    """A pod as the API server shows it."""
    placed = {"type": "PodScheduled", "status": "True"}
    if condition:
        placed |= {"status": "False", "reason": "Unschedulable", "message": condition}
    containers = [
        {
            "name": "base",
            "state": state,
            "ready": False,
            "restartCount": 0,
            "image": "",
            "imageID": "",
        }
        for state in states
    ]
    shown = {
        "status": {"phase": "Pending", "conditions": [placed], "containerStatuses": containers}
    }
    response: Any = SimpleNamespace(data=json.dumps(shown))
    return client.ApiClient().deserialize(response, V1Pod)


@pytest.mark.parametrize(
    ("pod", "part", "final"),
    [
        (waiting("CreateContainerConfigError", 'secret "a" not found'), "secret", True),
        (waiting("CreateContainerConfigError", "couldn't find key A in Secret b"), "config", True),
        (waiting("CreateContainerConfigError", "failed to sync secret cache: timed out"), "", None),
        (waiting("ErrImageNeverPull", "not present with pull policy of Never"), "image", True),
        (waiting("ErrImagePull", "failed to resolve x: not found"), "image", True),
        (waiting("ErrImagePull", "dial tcp: lookup registry: no such host"), "image", False),
        (waiting("ErrImagePull", "429 too many requests"), "", None),
        (waiting("ContainerCreating", ""), "", None),
        (
            status([], "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are "
            "available: 1 Preemption is not helpful for scheduling."),
            "node",
            True,
        ),
        (  # other pods have it, and give it back
            status([], "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are "
            "available: 1 No preemption victims found for incoming pod, 1 Preemption is not "
            "helpful for scheduling."),
            "",
            None,
        ),
        (  # a node that is about to be ready
            status([], "0/1 nodes are available: 1 node(s) had untolerated taint(s). preemption: "
            "0/1 nodes are available: 1 Preemption is not helpful for scheduling."),
            "",
            None,
        ),
    ],
)  # fmt: skip
def test_what_waiting_helps_and_what_not(pod: Any, part: str, final: bool | None) -> None:
    found = why_stuck(pod)
    assert (found.part if found else "") == part
    assert (found.final if found else None) == final


# Refusals


@pytest.mark.parametrize(
    ("denied", "says"),
    [
        ("list pods", 'resources: ["pods"], verbs: ["create", "get", "list", "patch", "delete"]'),
        ("create pods", "The cluster does not let Airflow create pods in the namespace default"),
        ("get pods", "The cluster does not let Airflow get pods in the namespace default"),
    ],
)
def test_a_refusal_names_the_rule_that_is_missing(cluster: Cluster, denied: str, says: str) -> None:
    cluster.deny(denied)
    with pytest.raises(AirflowFailException) as caught:
        cluster.run(cluster.task("prod", resources={"memory": "512Gi"}))
    assert says in str(caught.value)


def test_what_is_refused_for_other_reasons() -> None:
    def refused(status: int, message: str) -> Exception:
        error = ApiException(status=status, reason="Refused")
        error.body = json.dumps({"message": message})
        return refusal(error)

    def is_final(error: Exception) -> bool:
        return isinstance(error, AirflowFailException)

    quota = 'pods "a" is forbidden: exceeded quota: all, requested: cpu=4, used: cpu=8'
    assert not is_final(refused(403, quota))
    assert is_final(refused(403, 'pods "a" is forbidden: violates PodSecurity "restricted:latest"'))
    assert is_final(refused(404, 'namespaces "science" not found'))
    assert not is_final(refused(404, 'pods "a" not found'))  # somebody has deleted it
    assert not is_final(refused(500, "etcdserver: request timed out"))


def test_the_role_in_the_documentation_is_the_one_that_errors_name() -> None:
    text = (DOCS / "how-to" / "modes.md").read_text(encoding="utf-8")
    [block] = [
        part.partition("```")[0] for part in text.split("```yaml\n") if "kind: Role\n" in part
    ]
    role = next(yaml.safe_load_all(block))
    assert [(rule["apiGroups"], rule["resources"], rule["verbs"]) for rule in role["rules"]] == [
        ([""], [resource], list(verbs)) for resource, verbs in ROLE.items()
    ]


def test_a_certificate_that_is_not_trusted_is_called_so(cluster: Cluster) -> None:
    port = (cluster.folder / "serviceaccount" / "port").read_text()
    cluster.move(f"https://127.0.0.1:{port}")
    with pytest.raises(
        AirflowFailException, match="cluster's certificate is not trusted"
    ) as caught:
        cluster.run(cluster.task("prod_local"))
    assert "minikube_manager.py config" in str(caught.value)


def test_a_cluster_that_does_not_answer(cluster: Cluster) -> None:
    cluster.move("http://127.0.0.1:9")
    with pytest.raises(RuntimeError, match="The cluster does not answer"):
        cluster.run(cluster.task("prod_local"))


# What is left of earlier tries


def leftover(cluster: Cluster, name: str, task: list[Any], **labels: str) -> None:
    """A pod that no Airflow looks after any more. It never got a node: that needs no Docker."""
    ours = {"app.kubernetes.io/managed-by": "gaiaflow", "gaiaflow.project": "forest-watch-123"}
    requests = client.V1ResourceRequirements(requests={"memory": "512Gi"})
    body = client.V1Pod(
        metadata=client.V1ObjectMeta(
            name=name, labels=ours | labels, annotations={"gaiaflow.task": json.dumps(task)}
        ),
        spec=client.V1PodSpec(
            containers=[client.V1Container(name="base", image=IMAGE, resources=requests)]
        ),
    )
    cluster.core.create_namespaced_pod("default", body)


def test_pods_of_tasks_that_are_over_are_swept_up(cluster: Cluster) -> None:
    """As a scheduler leaves them that was killed with all its children."""
    cluster.states = {"manual__0": {"ended": "failed", "many_3": "success", "works": "running"}}
    for name, index in (("ended", -1), ("many", 3), ("works", -1)):
        leftover(cluster, name, ["pipeline", "manual__0", name, index])
    leftover(cluster, "unknown", ["pipeline", "of another Airflow", "train", -1])
    with pytest.raises(AirflowFailException, match="No node has"):
        cluster.run(cluster.task("prod_local", resources={"memory": "512Gi"}))
    assert {pod.metadata.name for pod in cluster.pods()} == {"works", "unknown"}


def test_a_try_begins_when_the_pod_of_the_one_before_is_gone(cluster: Cluster) -> None:
    task = cluster.task("prod_local", resources={"memory": "512Gi"})
    labels = {"dag_id": "pipeline", "task_id": "train", "run_id": "manual__1", "try_number": "1"}
    labels |= {"kubernetes_pod_operator": "True", "already_checked": "True"}
    leftover(cluster, "first", ["pipeline", "manual__1", "train", -1], **labels)
    with pytest.raises(AirflowFailException, match="No node has"):
        cluster.run(task, try_number=2)
    lines = (cluster.folder / "pods.log").read_text().splitlines()
    assert lines[:2] == ["made first", "gone first"]
    assert lines[2].startswith("made train-")


def test_a_pod_ends_even_if_nobody_is_left_to_end_it(cluster: Cluster) -> None:
    wish = {"memory": "512Gi"}
    for options in ({"timeout": timedelta(hours=1)}, {}):
        with pytest.raises(AirflowFailException):
            cluster.run(cluster.task("prod_local", resources=wish, **options))
    limits = {pod["spec"]["activeDeadlineSeconds"] for pod in cluster.manifests()}
    assert limits == {3660, 7 * 24 * 3600}
    assert {pod["spec"]["terminationGracePeriodSeconds"] for pod in cluster.manifests()} == {3}


# How pods of a cluster find their servers


def test_the_documented_variables_are_enough(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    documented = {
        "MLFLOW_TRACKING_URI": "https://mlflow.science",
        "AWS_ENDPOINT_URL": "https://store.science",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "S3_BUCKET": "forest-watch",
    }
    for name, value in documented.items():
        monkeypatch.setenv(name, value)
    reach = cluster.task("prod").reach()
    assert documented.items() <= reach.items()
    assert reach["MLFLOW_EXPERIMENT_NAME"] == "forest_watch"
    assert reach["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] == "false"
    assert reach["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] == "false"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of-the-team")
    assert cluster.task("prod").reach()["MLFLOW_EXPERIMENT_NAME"] == "of-the-team"


def test_dags_may_be_deployed_without_their_project(cluster: Cluster, project_root: Path) -> None:
    (project_root / "pyproject.toml").unlink()
    assert "MLFLOW_EXPERIMENT_NAME" not in cluster.task("prod").reach()
