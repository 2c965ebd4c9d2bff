"""`doctor staging` and `doctor prod`, against the double of the Kubernetes API.

The double answers what a test tells it to (tests/kubernetes/team.py): these tests show which
finding follows from which answer. What a cluster really answers, and what a pod really finds there,
is tested in tests/production/test_doctor.py, with a real one.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from gaiaflow import __version__, cluster
from gaiaflow.cli.common import WrongUse
from gaiaflow.cli.doctor import Doctor
from gaiaflow.cluster import manifest, pods
from gaiaflow.cluster.api import connect
from gaiaflow.cluster.stage import Stage
from gaiaflow.cluster.subject import Subject, examine
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.release.branches import Branches, Deployment

from tests.kubernetes import running_double

from .conftest import TEMPLATE
from .releases import Ready

Json = dict[str, Any]
DOCS = TEMPLATE.parent / "docs"
IMAGE = f"ghcr.io/team/forest@sha256:{64 * '1'}"
AIRFLOW, TASKS = "airflow-prod", "science-prod"
AIRFLOW_IMAGE = f"registry.forest.org/team/airflow@sha256:{64 * '2'}"
COMMIT, TAGGED = 40 * "d", 40 * "a"
CORE = "/api/v1/namespaces"
APPS = f"/apis/apps/v1/namespaces/{TASKS}/deployments"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/science-prod"
CANARY = "canary-value-of-a-secret"
PROFILE = """
[tool.gaiaflow.resources.default]
service_account = "forest"
image_pull_secrets = ["registry"]
"""


def fill_in(root: Path) -> None:
    """The folder deploy/ of a project whose team has filled it in."""
    shutil.copytree(TEMPLATE / "deploy", root / "deploy")
    for path in (path for path in (root / "deploy").rglob("*") if path.is_file()):
        text = path.read_text(encoding="utf-8").replace("{{ package_name }}", "forest_watch")
        text = text.replace("example.com", "forest.org").replace(64 * "0", 64 * "2")
        path.unlink()
        path.with_name(path.name.removesuffix(".jinja")).write_text(text, encoding="utf-8")
    with (root / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(PROFILE)
    lock = root / "gaiaflow" / "locks" / "production.txt"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("apache-airflow==3.3.2 \\\n    --hash=sha256:0\n", encoding="utf-8")
    (root / "gaiaflow" / "__init__.py").write_text(f'__version__ = "{__version__}"\n')


def secret(*keys: str, **data: str) -> Json:
    values = {**dict.fromkeys(keys, CANARY), **data}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"metadata": {}, "data": encoded}


def airflow_pod(name: str, image: str, env: dict[str, str]) -> Json:
    plain = [{"name": key, "value": value} for key, value in env.items()]
    hidden = {"name": "DATABASE", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}
    return {
        "metadata": {"name": f"airflow-{name}-0", "labels": {"tier": "airflow", "component": name}},
        "spec": {"containers": [{"name": name, "image": image, "env": [*plain, hidden]}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def running(image: str, ready: int = 1) -> Json:
    template = {"spec": {"containers": [{"name": "server", "image": image}]}}
    return {"spec": {"template": template}, "status": {"readyReplicas": ready}}


def healthy(stage: Stage) -> Json:
    """A cluster in which nothing is wrong."""
    restricted = {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    objects: Json = {f"{CORE}/{name}": {"metadata": restricted} for name in (AIRFLOW, TASKS)}
    for name in ("scheduler", "triggerer", "dag-processor", "api-server"):
        objects[f"{CORE}/{AIRFLOW}/pods/{name}"] = airflow_pod(
            name, AIRFLOW_IMAGE, dict(stage.settings)
        )
    for namespace, name, keys in (
        (AIRFLOW, "airflow-database", "connection pgbouncer.ini users.txt stats"),
        (AIRFLOW, "airflow-keys", "fernet-key api-secret-key jwt-secret"),
        (AIRFLOW, "airflow-connections", "AIRFLOW_CONN_GIT_PROJECT AIRFLOW_CONN_LOGS"),
        (AIRFLOW, "airflow-login", "client-id client-secret metadata-url"),
        (AIRFLOW, "airflow-tls", "tls.crt tls.key"),
        (TASKS, "gaiaflow", "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY MLFLOW_TRACKING_USERNAME"),
        (TASKS, "mlflow", "MLFLOW_BACKEND_STORE_URI"),
        (TASKS, "serving", "SERVING_KEY"),
    ):
        objects[f"{CORE}/{namespace}/secrets/{name}"] = secret(*keys.split())
    objects[f"{CORE}/{TASKS}/secrets/gaiaflow"] |= secret(
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    )
    login = json.dumps({"auths": {"ghcr.io": {"auth": CANARY}}})
    objects[f"{CORE}/{TASKS}/secrets/registry"] = secret(**{".dockerconfigjson": login})
    objects[f"{CORE}/{TASKS}/serviceaccounts/forest"] = {"metadata": {}}
    for name in ("mlflow", "serving"):
        objects[f"{APPS}/{name}"] = running(IMAGE)
    return {
        "objects": objects,
        "lacks": [],
        "extra": [],
        "refuses": None,
        "problem": None,
        "ended": {"exitCode": 0, "reason": "Completed"},
        "said": "",
        "executed": json.dumps(looked()),
        "ahead": 0,
    }


def report(**parts: Json) -> Json:
    """What the probe prints."""
    code = {"framework": __version__, "commit": TAGGED, "dirty": "false", "package": "forest_watch"}
    found = {name: {"found": f"{name} answers"} for name in ("dns", "mlflow", "store")}
    return {"time": time.time(), "code": code, **found, **parts}


def looked(**parts: Any) -> Json:
    """What a command in the dag-processor prints."""
    return {"airflow": "3.3.2", "triggers": True, "bundles": {"project": COMMIT}, **parts}


@dataclass
class World:
    """A double, a project's files, and what the double is told."""

    folder: Path
    root: Path
    known: Json
    deployment: Deployment | None = None
    said: list[str] = field(default_factory=list)
    parts: Json = field(default_factory=dict)  # of the probe's report

    def object(self, path: str) -> Json:
        found: Json = self.known["objects"][f"{CORE}/{path}"]
        return found

    def remove(self, path: str) -> None:
        del self.known["objects"][f"{CORE}/{path}"]

    def tell(self) -> None:
        if self.known["said"] == "":
            self.known["said"] = f"a warning\n{json.dumps(report(**self.parts))}\n"
        text = json.dumps(self.known)
        (self.folder / "team.part").write_text(text, encoding="utf-8")
        (self.folder / "team.part").replace(self.folder / "team.json")

    def find(self) -> dict[str, Finding]:
        self.tell()
        stage = Stage("prod", self.root)
        subject = Subject(stage, self.deployment, "", connect(), "", self.said.append)
        return {finding.check: finding for finding in cluster.diagnose(subject)}

    def pods(self, what: str) -> list[str]:
        log = self.folder / "pods.log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [line.split()[1] for line in lines if line.startswith(what)]


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "hold").touch()
    with running_double(Path(sys.executable), folder, "team.py"):
        yield folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project") / "Wälder und Seen"
    (root / "gaiaflow" / "operators").mkdir(parents=True)
    (root / "gaiaflow" / "operators" / "probe_pod.py").touch()
    fill_in(root)
    return root


@pytest.fixture
def world(double: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A healthy cluster; the manifest is one for the double, made in no time."""
    monkeypatch.setenv("KUBECONFIG", str(double / "kubeconfig.json"))
    monkeypatch.setattr(manifest, "build", build)
    monkeypatch.setattr(pods, "_POLL", 0.01)
    deployment = Deployment(COMMIT, "v1.2.0", TAGGED, IMAGE)
    return World(double, files, healthy(Stage("prod", files)), deployment)


def build(folder: Path, namespace: str, settings: Any) -> Json:
    assert settings["GAIAFLOW_NAMESPACE"] == namespace
    requests = {"cpu": "500m", "memory": "1Gi"}
    resources = {"requests": requests, "limits": {"cpu": "1", "memory": "1Gi"}}
    labels = {
        "app.kubernetes.io/managed-by": "gaiaflow",
        "app.kubernetes.io/component": "doctor",
    }
    base = {"name": "base", "image": IMAGE, "resources": resources}
    metadata = {"name": f"doctor-{time.time_ns()}", "namespace": namespace, "labels": labels}
    return {"metadata": metadata, "spec": {"containers": [base]}}


def wrong(found: dict[str, Finding]) -> list[Finding]:
    return [finding for finding in found.values() if finding.level != OK]


def test_nothing_is_wrong(world: World) -> None:
    found = world.find()
    assert not wrong(found)
    page = (DOCS / "how-to" / "airflow-on-a-cluster.md").read_text(encoding="utf-8")
    assert not [name for name in found if f"`{name}`" not in page]
    checks = {check.__name__.replace("_", "-") for check in cluster.CHECKS}
    assert checks <= set(found) | {"pod"}
    assert "host, http://127.0.0.1" in found["context"].found
    assert CANARY not in str(found)


def quota(hard: Json, used: Json) -> Json:
    return {"metadata": {"name": "team"}, "spec": {}, "status": {"hard": hard, "used": used}}


def limits(**limit: Any) -> Json:
    return {"metadata": {"name": "team"}, "spec": {"limits": [{"type": "Container", **limit}]}}


def put(path: str, item: Json) -> Callable[[World], None]:
    whole = path if path.startswith("/") else f"{CORE}/{path}"
    return lambda world: world.known["objects"].update({whole: item})


def gone(path: str) -> Callable[[World], None]:
    return lambda world: world.remove(path)


def tell(**known: Any) -> Callable[[World], None]:
    return lambda world: world.known.update(known)


def says(**parts: Any) -> Callable[[World], None]:
    return lambda world: world.parts.update(parts)


def looks(**parts: Any) -> Callable[[World], None]:
    return tell(executed=json.dumps(looked(**parts)))


def setting(name: str, value: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        [env] = [c["env"] for c in world.object(f"{AIRFLOW}/pods/scheduler")["spec"]["containers"]]
        next(entry for entry in env if entry["name"] == name)["value"] = value

    return change


def older_image(world: World) -> None:
    world.object(f"{AIRFLOW}/pods/scheduler")["spec"]["containers"][0]["image"] = "older"


def not_ready(world: World) -> None:
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    status = {"conditions": [], "containerStatuses": [{"name": "triggerer", "state": state}]}
    world.object(f"{AIRFLOW}/pods/triggerer")["status"] = status


def role_differs(world: World) -> None:
    """Somebody who may not ask about others' rights looks at the role."""
    world.known["lacks"] = ["create subjectaccessreviews"]
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}]
    metadata = {"name": "launcher"}
    roles: dict[str, Json] = {"roles": {"rules": rules}, "rolebindings": {"subjects": []}}
    for kind, item in roles.items():
        world.known["objects"][f"{RBAC}/{kind}/launcher"] = {"metadata": metadata, **item}


def no_release(world: World) -> None:
    world.deployment = None


KEYS = secret("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_USERNAME")
FORBIDDEN = 'pods is forbidden: User "me" cannot create resource "pods" in API group ""'
FULL = 'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=9'
PULL = "failed to pull image: pull access denied, repository does not exist"
CASES: list[tuple[Callable[[World], None], str, str, str, str]] = [
    # What is wrong; the check, its level, what it says, and the fix.
    (gone(TASKS), "namespaces", PROBLEM, TASKS, "kubectl apply -k deploy/project-prod"),
    (tell(ahead=3600), "clock", WARNING, "3600 s ahead of this", "# Set the clock"),
    (
        tell(lacks=["create pods/exec"]),
        "my-rights",
        WARNING,
        "in airflow-prod: create pods/exec",
        "Ask",
    ),
    (tell(lacks=["airflow-triggerer create pods"]), "launcher", PROBLEM, "triggerer", "apply -k"),
    (tell(extra=["get secrets"]), "launcher", WARNING, "may do more", "rolebindings"),
    (tell(lacks=["create subjectaccessreviews"]), "launcher", PROBLEM, "has no role", "apply -k"),
    (role_differs, "launcher", PROBLEM, "not that of deploy/tasks", "apply -k"),
    (gone(f"{TASKS}/serviceaccounts/forest"), "service-account", PROBLEM, "forest", "create"),
    (
        gone(f"{AIRFLOW}/secrets/airflow-keys"),
        "secrets",
        PROBLEM,
        "airflow-keys",
        "--from-literal=",
    ),
    (
        put(f"{TASKS}/secrets/gaiaflow", KEYS),
        "secrets",
        PROBLEM,
        "MLFLOW_TRACKING_PASSWORD",
        "edit",
    ),
    (gone(f"{TASKS}/secrets/registry"), "pull-secrets", PROBLEM, "registry", "docker-registry"),
    (put(f"{TASKS}/secrets/registry", secret("x")), "pull-secrets", PROBLEM, "not a secret", "del"),
    (put(TASKS, {"metadata": {}}), "pod-security", WARNING, "root", "kubectl label"),
    (
        put(
            f"{TASKS}/resourcequotas/team", quota({"requests.cpu": "4"}, {"requests.cpu": "3600m"})
        ),
        *("quota", PROBLEM, "3.600 is used, and a task needs 0.500", "describe resourcequota team"),
    ),
    (
        put(f"{TASKS}/limitranges/team", limits(max={"memory": "512Mi"})),
        *("limit-range", PROBLEM, "memory of base is 1Gi, more than 512Mi", "`default`"),
    ),
    (gone(f"{AIRFLOW}/pods/scheduler"), "airflow", PROBLEM, "scheduler has no pod", "=scheduler"),
    (not_ready, "airflow", PROBLEM, "triggerer is not ready: CrashLoopBackOff", "logs"),
    (setting("GAIAFLOW_MODE", "dev"), "airflow-settings", PROBLEM, "GAIAFLOW_MODE=dev", "helm"),
    (setting("S3_BUCKET", "other"), "airflow-settings", WARNING, "S3_BUCKET", "helm upgrade"),
    (older_image, "airflow-settings", WARNING, "images.airflow", "helm upgrade"),
    (looks(triggers=False), "airflow-image", WARNING, "holds a slot", "publish"),
    (looks(airflow="3.2.0"), "airflow-image", WARNING, "3.2.0", "publish"),
    (looks(bundles={}), "bundle", PROBLEM, "no bundle", "kubectl logs"),
    (looks(bundles={"project": 40 * "e"}), "bundle", WARNING, "eeeeeeeeeeee", "60 s"),
    (no_release, "branch", PROBLEM, "no branch deploy/prod", "deploy prod"),
    (tell(refuses=[403, FORBIDDEN]), "pod", WARNING, "you may not start", "auth can-i"),
    (tell(refuses=[403, FULL]), "pod", PROBLEM, "quota of science-prod", "resourcequota"),
    (tell(problem=["ErrImagePull", PULL]), "pod", PROBLEM, "can't get the image", "ghcr.io"),
    (
        tell(problem=["CreateContainerConfigError", 'secret "more" not found']),
        *("pod", PROBLEM, "no secret more", "create secret generic more"),
    ),
    (
        tell(ended={"exitCode": 1, "reason": "Error"}, said="No module named gaiaflow\n"),
        *("pod", PROBLEM, "exit code 1: No module named", "docker run"),
    ),
    (tell(ended={"exitCode": 137, "reason": "OOMKilled"}), "pod", PROBLEM, "OOMKilled", "memory"),
    (says(dns={"error": "mlflow: unknown"}), "pod-dns", PROBLEM, "unknown", "get services"),
    (says(mlflow={"error": "401"}), "pod-mlflow", PROBLEM, "401", "secret gaiaflow"),
    (says(store={"error": "AccessDenied"}), "pod-store", PROBLEM, "AccessDenied", "put, get"),
    (says(store={"found": "", "ahead": -900}), "pod-clock", PROBLEM, "900 s behind", "NTP"),
    (says(time=0.0), "pod-clock", WARNING, "behind this machine's", "NTP"),
    (
        says(code={"framework": __version__, "commit": 40 * "b", "dirty": "", "package": "f"}),
        *("pod-code", PROBLEM, "of commit bbbbbbbbbbbb, but v1.2.0 is aaaaaaaaaaaa", "ublish"),
    ),
    (
        says(code={"framework": "0.1", "commit": TAGGED, "dirty": "", "package": "f"}),
        *("pod-code", PROBLEM, "framework 0.1", "ublish"),
    ),
]


@pytest.mark.parametrize(
    ("change", "check", "level", "found", "fix"), CASES, ids=[f"{c[1]}: {c[3]}" for c in CASES]
)
def test_what_is_wrong_is_found(
    world: World, change: Callable[[World], None], check: str, level: str, found: str, fix: str
) -> None:
    change(world)
    findings = world.find()
    assert findings[check].level == level, findings
    assert found in findings[check].found and fix in findings[check].fix, findings[check]
    assert not [line for line in world.said if "Not removed" in line]
    # Each cause is reported once, except for what a missing right keeps from being seen.
    assert [one.check for one in wrong(findings)] == [check], findings
    made = set(world.pods("made"))
    deadline = time.monotonic() + 10
    while made != set(world.pods("gone")):
        assert time.monotonic() < deadline, "a pod is left"
        time.sleep(0.05)


def test_no_node_takes_the_pod(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gaiaflow.cluster.starting._PLACED", 0.05)
    world.known["problem"] = ["Unschedulable", "0/3 nodes are available: 3 Insufficient memory."]
    found = world.find()["pod"]
    assert found.level == PROBLEM and "3 Insufficient memory" in found.found


def test_a_release_from_before(world: World, tmp_path: Path) -> None:
    old = shutil.copytree(world.root, tmp_path / "old")
    (old / "gaiaflow" / "operators" / "probe_pod.py").unlink()
    world.root = old
    found = world.find()
    assert found["pod"].level == WARNING and "has no probe" in found["pod"].found
    assert "quota" not in found and found["secrets"].level == OK


def test_whoever_may_see_nothing(world: World) -> None:
    (world.folder / "denied").write_text("list pods\nget secrets\nget serviceaccounts\n")
    try:
        found = world.find()
    finally:
        (world.folder / "denied").unlink()
    for check, action in (("secrets", "get secrets --namespace"), ("airflow", "list pods")):
        assert found[check].level == WARNING and found[check].found.startswith("can't tell")
        assert f"kubectl auth can-i {action}" in found[check].fix
    assert "airflow-settings" not in found and found["pod"].level == OK


def test_commands_in_pods_are_not_allowed(world: World) -> None:
    (world.folder / "denied").write_text("create pods/exec\n")
    try:
        found = world.find()
    finally:
        (world.folder / "denied").unlink()
    assert [finding.check for finding in wrong(found)] == ["airflow-image", "bundle"]
    assert found["bundle"].found == f"can't tell: you may not create pods/exec in {AIRFLOW}"


def test_what_a_killed_doctor_has_left_is_removed(world: World) -> None:
    left = build(world.root, TASKS, {"GAIAFLOW_NAMESPACE": TASKS})
    left["status"] = {"phase": "Failed"}
    world.known["objects"][f"{CORE}/{TASKS}/pods/{left['metadata']['name']}"] = left
    world.tell()
    asked: list[str] = []
    api = connect()
    api.delete = lambda path, grace: asked.append(path)  # type: ignore[method-assign]
    pods._sweep(api, f"{CORE}/{TASKS}/pods")
    assert asked == [f"{CORE}/{TASKS}/pods/{left['metadata']['name']}"]


@pytest.mark.parametrize(
    ("config", "check", "words"),
    [
        (None, "context", "Invalid kube-config"),
        ({"clusters": []}, "context", "Invalid kube-config"),
        ({"server": "http://127.0.0.1:1"}, "api-server", "does not answer"),
        ({"token": "of-yesterday"}, "api-server", "does not accept your log-in"),
    ],
    ids=["no file", "no context", "nobody listens", "not logged in"],
)
def test_there_is_no_cluster(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: Json | None,
    check: str,
    words: str,
) -> None:
    path = tmp_path / "kubeconfig"
    known = json.loads((world.folder / "kubeconfig.json").read_text(encoding="utf-8"))
    if config is not None:
        known["clusters"][0]["cluster"] |= {k: v for k, v in config.items() if k == "server"}
        known["users"][0]["user"] |= {k: v for k, v in config.items() if k == "token"}
        known |= {key: value for key, value in config.items() if key == "clusters"}
        path.write_text(yaml.safe_dump(known), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(path))
    world.tell()
    world.root.joinpath(".git").mkdir(exist_ok=True)
    with examine(world.root, "prod", world.said.append) as subject:
        found = {finding.check: finding for finding in cluster.diagnose(subject)}
    red = {name for name, finding in found.items() if finding.level == PROBLEM}
    assert red == {check, "branch"}, found
    assert words in found[check].found and found[check].fix
    assert set(found) <= {"branch", "placeholders", "context", "api-server"}


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, double: Path) -> Ready:
    """A project with its framework, of which a release is in prod."""
    monkeypatch.setenv("KUBECONFIG", str(double / "kubeconfig.json"))
    ready = Ready(tmp_path)
    shutil.copy(TEMPLATE / "mlops_manager.py", ready.root)
    shutil.rmtree(ready.root / "gaiaflow")
    (ready.root / "gaiaflow").mkdir()
    fill_in(ready.root)
    shutil.rmtree(ready.root / "gaiaflow")
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TEMPLATE / "gaiaflow", ready.root / "gaiaflow", ignore=skip)
    ready.commit()
    ready.git("tag", "v1.2.0")
    ready.git("push", "--quiet", "origin", "v1.2.0")
    branches = Branches(ready.asked)
    branches.stage("v1.2.0", IMAGE)
    branches.move_prod()
    return ready


def test_the_release_on_the_branch_is_examined(
    released: Ready, double: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is the branch, not what somebody has in the folder; and the pod is a task's."""
    shutil.rmtree(released.root / "deploy")
    monkeypatch.setattr(pods, "_POLL", 0.01)
    with examine(released.root, "prod", lambda _: None) as subject:
        deployed = subject.deployment
        assert deployed and deployed.image == IMAGE
        world = World(double, subject.stage.folder, healthy(subject.stage))
        world.known["executed"] = json.dumps(looked(bundles={"project": deployed.commit}))
        code = {**report()["code"], "commit": deployed.tag_commit}
        world.parts["code"] = code
        world.tell()
        found = {finding.check: finding for finding in cluster.diagnose(subject)}
        assert not wrong(found)
        made = subject.manifest
    assert not list((released.root / ".gaiaflow").glob("release-*"))
    assert made is not None
    spec = made["spec"]
    assert spec["serviceAccountName"] == "forest"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["activeDeadlineSeconds"] <= 900 and spec["securityContext"]["runAsNonRoot"]
    base, sidecar = spec["containers"]
    assert (base["image"], sidecar["image"]) == (IMAGE, IMAGE)
    assert base["command"][-1] == "gaiaflow.entrypoints.probe"
    assert base["envFrom"] == [{"secretRef": {"name": "gaiaflow", "optional": True}}]
    env = {entry["name"]: entry["value"] for entry in base["env"]}
    assert env["S3_BUCKET"] == "team-prod" and "DATABASE" not in env


def test_the_command_is_interrupted(released: Ready, double: Path) -> None:
    """Ctrl-C while the pod runs: it is removed, and no worktree is left."""
    world = World(double, released.root, healthy(Stage("prod", released.root)))
    world.known["said"] = None
    world.tell()
    before = set(world.pods("made"))
    code = "from gaiaflow.cli.mlops import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-B", "-c", code, "doctor", "prod", "--json"],
        env={**os.environ, "PYTHONPATH": str(released.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (made := set(world.pods("made")) - before):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130 and out == "", (out, err)
    while not made <= set(world.pods("gone")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not list((released.root / ".gaiaflow").glob("release-*"))


def test_a_task_that_can_not_be_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Json:
        raise GaiaflowError("ValueError: memory must be a string")

    monkeypatch.setattr(manifest, "build", fail)
    [found] = wrong(world.find())
    assert found.check == "profile" and "memory must be a string" in found.found


def test_wrong_use() -> None:
    with pytest.raises(WrongUse, match="production"):
        Doctor.run(["doctor", "production"], exit=False)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("airflow/values.yaml", "a: [", "deploy/airflow/values.yaml cannot be read"),
        ("airflow/values-prod.yaml", None, "values-prod.yaml is missing"),
        ("tasks/launcher.yaml", "kind: Role\n", "kubectl kustomize deploy/project-prod"),
        ("project-prod/kustomization.yaml", "3", "kubectl kustomize deploy/project-prod"),
    ],
)
def test_broken_files(files: Path, tmp_path: Path, file: str, text: str | None, words: str) -> None:
    broken = shutil.copytree(files, tmp_path / "broken")
    path = broken / "deploy" / file
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(GaiaflowError, match=words):
        Stage("prod", broken)


def test_a_project_without_deploy(project_root: Path) -> None:
    with (
        pytest.raises(GaiaflowError, match="deploy=kubernetes"),
        examine(project_root, "prod", lambda _: None),
    ):
        pass
