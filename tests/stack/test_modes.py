"""The same DAGs in every mode: the same states, the same XComs, the same words in the log.

`dev` needs nothing, `dev_docker` a Docker engine. The pods of `prod_local` and `prod` are
containers of that engine behind a double of the Kubernetes API (tests/kubernetes/double.py), which
`prod` finds as a program inside a cluster does. Once more they are pods of a real cluster (marked
`cluster`): with GAIAFLOW_TEST_MINIKUBE=yes of a Minikube that the project's own manager makes, or
of the one in GAIAFLOW_TEST_KUBECONFIG, whose nodes have the image that GAIAFLOW_TEST_IMAGE names.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import kubernetes_validate
import pytest
import yaml

from benchmarks.airflow_api import AirflowApi
from tests.kubernetes import running_double
from tests.kubernetes.releases import RELEASES

from .cases import expected
from .conftest import HERE, Generate, Project, execute, free_block, wait_for

BASE = "python:3.13-slim-trixie"  # an image of this name must be there
IMAGE = "gaiaflow-test/modes:today"
SCENES = {"dev": 20, "dev_docker": 3, "prod_local": 3, "prod": 2, "cluster": 10}
# Where Kubernetes mounts what a pod is to know of its cluster; no setting moves it.
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

MINIKUBE = bool(os.environ.get("GAIAFLOW_TEST_MINIKUBE"))

DOCKERFILE = f"""
FROM {BASE}
COPY mlops_manager.py pyproject.toml /opt/project/
COPY gaiaflow /opt/project/gaiaflow
COPY forest_watch /opt/project/forest_watch
ENV PYTHONPATH=/opt/project HOME=/tmp
WORKDIR /opt/project
USER 50000:0
"""

engine = pytest.mark.engine
MODES = [
    "dev",
    pytest.param("dev_docker", marks=engine),
    pytest.param("prod_local", marks=engine),
    pytest.param("prod", marks=[engine, pytest.mark.slow]),  # differs only in how it finds the API
    pytest.param("cluster", marks=pytest.mark.cluster),
]


def has_engine() -> bool:
    docker = shutil.which("docker")
    return bool(docker) and not execute(docker or "", "image", "inspect", BASE, cwd=HERE).code


class Stack:
    """A project with the cases in it, its services up, in one mode after another."""

    def __init__(self, project: Project, double: Path) -> None:
        self.project = project
        self.double = double
        self.mode = ""
        self._pool = ThreadPoolExecutor(1)

    @property
    def suffix(self) -> str:
        return "prod_local" if self.mode == "cluster" else self.mode

    def enter(self, mode: str) -> None:
        """Make the DAGs of a mode, and what the mode needs."""
        self.leave()
        self.mode = mode
        root = self.project.root
        text = (HERE / "cases" / "dags.py").read_text(encoding="utf-8")
        text = text.replace('MODES = ["dev"]', f"MODES = [{self.suffix!r}]")
        text = text.replace("SCENES = 4", f"SCENES = {SCENES[mode]}")
        names = [*expected.GREEN, "mapping", "failing", "timeout"]
        # `run` waits for a new DAG if a file has its name.
        text += f"\n# {' '.join(f'{name}-{self.suffix}' for name in names)}\n"
        (root / "dags" / "cases.py").write_text(text, encoding="utf-8")
        config = root / "kube_config_inline"
        if mode == "prod_local":
            shutil.copy(self.double / "kubeconfig.json", config)
        elif mode == "prod":
            config.unlink(missing_ok=True)
            SERVICE_ACCOUNT.parent.mkdir(parents=True, exist_ok=True)
            SERVICE_ACCOUNT.unlink(missing_ok=True)  # a link that a killed run left
            SERVICE_ACCOUNT.symlink_to(self.double / "serviceaccount")
        elif mode == "cluster" and MINIKUBE:
            make_minikube(self.project)
        elif mode == "cluster":
            config.write_text(renamed(Path(os.environ["GAIAFLOW_TEST_KUBECONFIG"])))
            put_secrets(airflow_python(self.project), config)
        # It mostly waits, so it does that beside the others.
        self._timeout = self._pool.submit(self._run, "timeout")

    def leave(self) -> None:
        """Wait for what runs, if its test was not chosen."""
        if self.mode:
            self._timeout.exception()

    def run(self, case: str) -> dict[str, Any]:
        """Run a case; its state, and the states of its tasks."""
        return self._timeout.result() if case == "timeout" else self._run(case)

    def _run(self, case: str) -> dict[str, Any]:
        done = self.project.manage("run", f"{case}-{self.suffix}", "--json")
        assert done.out, done
        result: dict[str, Any] = json.loads(done.out)
        result["said"] = done.err
        return result

    def xcoms(self, run: dict[str, Any]) -> dict[str, Any]:
        """What the tasks of a run have returned, by task and map index; None is not stored."""
        api = AirflowApi(self.project.root)
        path = f"/dags/{run['dag_id']}/dagRuns/{quote(run['run_id'], safe='')}/taskInstances"
        found = {}
        for task in run["tasks"]:
            entries = f"{path}/{task['task_id']}/xcomEntries"
            query = f"map_index={task['map_index']}"
            listed = api.get(f"{entries}?{query}&xcom_key=return_value")["xcom_entries"]
            if any(entry["map_index"] == task["map_index"] for entry in listed):
                entry = api.get(f"{entries}/return_value?{query}&stringify=false")
                found[label(task)] = entry["value"]
        return found


def label(task: dict[str, Any]) -> str:
    index = task["map_index"]
    return task["task_id"] if index < 0 else f"{task['task_id']}[{index}]"


def renamed(path: Path) -> str:
    """A kubeconfig whose current context is called as minikube_manager.py calls it."""
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    current = config["current-context"]
    config["contexts"] = [item for item in config["contexts"] if item["name"] == current]
    config["contexts"][0]["name"] = config["current-context"] = "host"
    return yaml.safe_dump(config)


@pytest.fixture(scope="module")
def stack_of_modes(generate: Generate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    project, _ = generate("Moden", package_name="forest_watch", kubernetes="true")
    project.set_ports(free_block())
    image = os.environ.get("GAIAFLOW_TEST_IMAGE", IMAGE)
    with (project.root / ".env").open("a", encoding="utf-8") as env:
        env.write(f"EARTHDATA_TOKEN={expected.SECRET}\nPACKAGE_IMAGE={image}\n")
    functions = (HERE / "cases" / "functions.py").read_text(encoding="utf-8")
    (project.root / "forest_watch" / "utils" / "cases.py").write_text(functions, encoding="utf-8")
    started = project.manage("start", "--backend", "local", "--service", "mlflow")
    assert started.code == 0, started
    folder = tmp_path_factory.mktemp("cluster")
    with contextlib.ExitStack() as stack:
        inside = {}
        if has_engine():
            build(project)
            stack.enter_context(running_double(airflow_python(project), folder))
            stack.callback(SERVICE_ACCOUNT.unlink, missing_ok=True)
            put_secrets(airflow_python(project), folder / "kubeconfig.json")
            port = (folder / "serviceaccount" / "port").read_text()
            inside = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
        started = project.manage("start", "--backend", "local", "--service", "airflow", **inside)
        assert started.code == 0, started
        modes = Stack(project, folder)
        yield modes
        modes.leave()
        if MINIKUBE:
            execute(sys.executable, project.root / "minikube_manager.py", "clean", cwd=HERE)
        assert project.manage("stop").code == 0  # not at the end of all: others want the machine


def airflow_python(project: Project) -> Path:
    return project.root / ".gaiaflow" / "airflow" / "bin" / "python"


def make_minikube(project: Project) -> None:
    """The project's own cluster, with the image and the secret of the cases."""
    manager = project.root / "minikube_manager.py"
    profile = project.env["COMPOSE_PROJECT_NAME"]
    for command in (
        (sys.executable, manager, "start"),
        ("minikube", "--profile", profile, "image", "load", IMAGE),
        (sys.executable, manager, "secret", "earthdata", f"EARTHDATA_TOKEN={expected.SECRET}"),
    ):
        done = execute(*command, cwd=HERE)
        assert done.code == 0, done


def build(project: Project) -> None:
    dockerfile = project.root / ".gaiaflow" / "Dockerfile"
    dockerfile.write_text(DOCKERFILE, encoding="utf-8")
    built = execute(
        *("docker", "build", "--tag", IMAGE, "--file", dockerfile, project.root), cwd=HERE
    )
    assert built.code == 0, built


def put_secrets(python: Path, config: Path) -> None:
    """The secrets that minikube_manager.py makes in a project's cluster."""
    code = f"""
from kubernetes import client, config
config.load_kube_config({str(config)!r})
api = client.CoreV1Api()
secrets = {{"gaiaflow": {{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}},
           "earthdata": {{"EARTHDATA_TOKEN": {expected.SECRET!r}}}}}
for name, data in secrets.items():
    body = client.V1Secret(metadata=client.V1ObjectMeta(name=name), string_data=data)
    try:
        api.create_namespaced_secret("default", body)
    except client.exceptions.ApiException:
        api.replace_namespaced_secret(name, "default", body)
"""
    done = execute(python, "-c", code, cwd=HERE)
    assert done.code == 0, done


@pytest.fixture(scope="module", params=MODES)
def stack(stack_of_modes: Stack, request: pytest.FixtureRequest) -> Stack:
    mode = request.param
    if mode in {"dev_docker", "prod_local", "prod"} and not has_engine():
        pytest.skip(f"needs a Docker engine that has the image {BASE}")
    if mode == "prod" and (os.geteuid() or SERVICE_ACCOUNT.exists()):
        pytest.skip(f"needs to be root to write {SERVICE_ACCOUNT}, which must not be there")
    if mode == "cluster" and not (MINIKUBE or "GAIAFLOW_TEST_KUBECONFIG" in os.environ):
        pytest.skip("neither GAIAFLOW_TEST_MINIKUBE nor GAIAFLOW_TEST_KUBECONFIG is set")
    stack_of_modes.enter(mode)
    return stack_of_modes


@pytest.mark.parametrize("case", sorted(set(expected.GREEN) - {"reach"}))
def test_results(stack: Stack, case: str) -> None:
    run = stack.run(case)
    assert run["state"] == "success", run["said"]
    assert stack.xcoms(run) == expected.GREEN[case]


def test_mapping(stack: Stack) -> None:
    run = stack.run("mapping")
    assert run["state"] == "success", run["said"]
    assert stack.xcoms(run) == expected.mapping(SCENES[stack.mode])


def test_servers_are_reached(stack: Stack) -> None:
    if stack.mode in {"prod_local", "prod"}:
        pytest.skip("the double has no DNS; the tests marked `cluster` have")
    if stack.mode == "cluster" and not MINIKUBE:
        pytest.skip("only minikube_manager.py tells a cluster where the servers are")
    run = stack.run("reach")
    assert run["state"] == "success", run["said"]
    assert stack.xcoms(run) == expected.GREEN["reach"]


def test_failures(stack: Stack) -> None:
    run = stack.run("failing")
    red = expected.RED if stack.mode == "dev" else expected.RED | expected.RED_WITH_A_LIMIT
    # One try each: another one would end in the same error.
    assert {task["task_id"]: (task["state"], task["try_number"]) for task in run["tasks"]} == (
        dict.fromkeys(red, ("failed", 1))
    )
    assert stack.xcoms(run) == {}
    logs = dict(sections(run["said"]))
    for task, words in red.items():
        places = [logs[task].find(word) for word in words]
        assert -1 not in places, (task, words, logs[task])
        assert places == sorted(places), (task, words, logs[task])


def test_a_timeout_ends_the_task_and_leaves_nothing(stack: Stack) -> None:
    """Not even beside the next try, which writes the same keys."""
    run = stack.run("timeout")
    assert [(task["state"], task["try_number"]) for task in run["tasks"]] == [("failed", 2)]
    assert "sleeping" in run["said"]  # it was on its way, and its log was there as written
    assert "AirflowTaskTimeout" in run["said"]
    wait_for(lambda: not left(stack))
    if stack.mode in {"prod_local", "prod"}:
        log = (stack.double / "pods.log").read_text(encoding="utf-8").splitlines()
        lives = [line.split()[0] for line in log if line.split()[1].startswith("deaf-")]
        assert lives[-4:] == ["made", "gone", "made", "gone"]


def test_nothing_is_left(stack: Stack) -> None:
    wait_for(lambda: not left(stack))


def test_what_airflow_may_not_do_is_told_with_the_rule_that_is_missing(stack: Stack) -> None:
    if stack.mode != "prod":
        pytest.skip("one mode is enough, and a cluster of others keeps its rights")
    denied = stack.double / "denied"
    denied.write_text("create pods/exec", encoding="utf-8")
    try:
        run = stack.run("without_result")
    finally:
        denied.unlink()
    tries = {task["task_id"]: task["try_number"] for task in run["tasks"]}
    assert (tries["none"], tries["zero"]) == (1, 1)
    assert "does not let Airflow create pods/exec in the namespace default" in run["said"]
    assert 'resources: ["pods/exec"], verbs: ["get", "create"]' in run["said"]


KEPT = """
import os
from datetime import timedelta
from airflow.sdk import DAG
from gaiaflow import create_task

os.environ["GAIAFLOW_KEEP_FAILED"] = "yes"  # as .env would set it for all
defaults = {{"mode": "{mode}", "owner": "tests", "retries": 1, "retry_delay": timedelta(0)}}
with DAG("kept-{mode}", schedule=None, default_args=defaults):
    create_task("leaves", "forest_watch.utils.cases:leave", {{"code": 1}})
"""


def test_what_failed_stays_on_request(stack: Stack) -> None:
    """And what a try has left is gone when the next one comes, as after a crash of Airflow."""
    if stack.mode == "dev":
        pytest.skip("a process leaves nothing")
    dag = stack.project.root / "dags" / "kept.py"
    dag.write_text(KEPT.format(mode=stack.suffix), encoding="utf-8")
    run = stack.run("kept")
    dag.unlink()
    assert run["state"] == "failed"
    kept = left(stack)
    if stack.mode == "cluster":
        for pod in pods(stack, delete=True):
            [base] = [c for c in pod["status"]["containerStatuses"] if c["name"] == "base"]
            assert base["state"]["terminated"]["exitCode"] == 1
            del pod["status"]
            pod |= {"apiVersion": "v1", "kind": "Pod"}  # the items of a list don't say it
            path = stack.double / f"cluster-{pod['metadata']['name']}.json"
            path.write_text(json.dumps(pod), encoding="utf-8")
        assert len(kept) == 2
        return
    try:
        show = ("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}")
        states = execute("docker", *show, *kept, cwd=HERE).out.splitlines()
        tries = 1 if stack.mode == "dev_docker" else 2  # each pod has a name of its own
        assert states.count("exited 1") == tries, states
    finally:
        execute("docker", "rm", "--force", *kept, cwd=HERE)


UNBUILT = """
import os
from airflow.sdk import DAG
from gaiaflow import create_task

os.environ["GAIAFLOW_IMAGE"] = "gaiaflow-test/modes:never-built"
with DAG("unbuilt-{mode}", schedule=None, default_args={{"mode": "{mode}", "retries": 3}}):
    create_task("square", "forest_watch.utils.cases:square", {{"number": 2}})
"""


def test_an_image_that_was_not_built(stack: Stack) -> None:
    """It is not pulled: in a registry, anybody may have put something under the same name."""
    if stack.mode == "dev":
        pytest.skip("a process has no image")
    dag = stack.project.root / "dags" / "unbuilt.py"
    dag.write_text(UNBUILT.format(mode=stack.suffix), encoding="utf-8")
    run = stack.run("unbuilt")
    dag.unlink()
    assert [task["try_number"] for task in run["tasks"]] == [1]  # to try again is of no use
    if stack.mode == "dev_docker":
        assert "There is no image gaiaflow-test/modes:never-built" in run["said"]
        assert "python3 mlops_manager.py build" in run["said"]
    elif stack.mode == "prod":
        assert "pull access denied" in run["said"]
        assert "kubectl describe pod" in run["said"]
    else:
        assert "never-built" in run["said"]
        assert "python3 minikube_manager.py status" in run["said"]
        assert "ErrImageNeverPull" in run["said"]


def test_pods_are_valid_and_have_no_rights(stack: Stack) -> None:
    if stack.mode in {"dev", "dev_docker"}:
        pytest.skip("there are no pods")
    kind = "cluster" if stack.mode == "cluster" else "pod"
    manifests = sorted(stack.double.glob(f"{kind}-*.json"))
    assert manifests
    for path in manifests:
        pod = json.loads(path.read_text(encoding="utf-8"))
        for release in RELEASES:
            kubernetes_validate.validate(pod, release, strict=True)
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "gaiaflow"
        for container in pod["spec"]["containers"]:
            assert all(
                isinstance(entry.get("value", ""), str) for entry in container.get("env", [])
            )
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_secret_is_shown_nowhere(stack: Stack) -> None:
    folders = [stack.project.root / ".gaiaflow" / "logs", stack.double]
    for file in (file for folder in folders for file in folder.rglob("*") if file.is_file()):
        text = file.read_text(encoding="utf-8", errors="ignore")
        assert expected.SECRET not in text, file
        assert "pgrep" not in text, file  # of the provider's, which a slim image has not


def sections(said: str) -> Iterator[tuple[str, str]]:
    """The logs that `run` shows, by task."""
    for part in said.split(" log of ")[1:]:
        head, _, log = part.partition("\n")
        yield head.partition(",")[0], log


def left(stack: Stack) -> list[str]:
    """Processes or containers of tasks."""
    if stack.mode == "dev":
        return [str(process) for process in stack.project.tasks()]
    if stack.mode == "cluster":
        return [pod["metadata"]["name"] for pod in pods(stack)]
    # Of this project, or of this double: others may run beside.
    label = f"gaiaflow.double={stack.double}"
    if stack.mode == "dev_docker":
        label = f"gaiaflow.project={stack.project.env['COMPOSE_PROJECT_NAME']}"
    done = execute("docker", "ps", "--all", "--quiet", "--filter", f"label={label}", cwd=HERE)
    return done.out.split()


def pods(stack: Stack, delete: bool = False) -> list[Any]:
    """The pods of the project in a real cluster."""
    config = str(stack.project.root / "kube_config_inline")
    code = f"""
import json
from kubernetes import client, config
config.load_kube_config({config!r})
api = client.CoreV1Api()
mine = "gaiaflow.project={stack.project.env["COMPOSE_PROJECT_NAME"]}"
found = api.list_namespaced_pod("default", label_selector=mine).items
print(json.dumps(api.api_client.sanitize_for_serialization(found)))
for pod in found if {delete} else []:
    api.delete_namespaced_pod(pod.metadata.name, "default")
"""
    done = execute(airflow_python(stack.project), "-c", code, cwd=HERE)
    found: list[Any] = done.json()
    return found
