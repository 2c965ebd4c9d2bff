"""What `create_task` costs over the bare operator of the same mode, on one running stack.

`dev` against ExternalPythonOperator, `dev_docker` against DockerOperator, `prod_local` against
KubernetesPodOperator, whose pods are containers of the engine behind tests/kubernetes/double.py.
All containers are of one small image, so that it is the operators that are compared.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from plumbum import ProcessExecutionError, local

from benchmarks.airflow_api import AirflowApi
from benchmarks.common import CannotMeasure, Goal, Row, say
from benchmarks.task_cost import Cost, median, run
from benchmarks.workshop import PACKAGE, REPOSITORY, Workshop

TASKS = 5  # of a chain, in containers and pods
MAPPED = 50  # in dev
IMAGE = "gaiaflow-benchmark/modes:today"
BASE = "python:3.13-slim-trixie"
_LIMIT = 60.0  # seconds until the double must be up

_DOCKERFILE = f"""
FROM {BASE}
COPY gaiaflow /opt/project/gaiaflow
COPY {PACKAGE} /opt/project/{PACKAGE}
ENV PYTHONPATH=/opt/project HOME=/tmp
WORKDIR /opt/project
RUN python -m compileall -q .
USER 50000:0
"""

_HEAD = f"""
import os
from airflow.sdk import DAG
from gaiaflow import create_task

def chain(tasks):
    for before, after in zip(tasks, tasks[1:]):
        before >> after

def ours(mode):
    with DAG("bench_ours_" + mode, schedule=None, default_args={{"mode": mode}}):
        names = [f"task_{{i}}" for i in range({TASKS})]
        chain([create_task(name, "{PACKAGE}.bench:nothing") for name in names])
"""

_DEV = f"""
from airflow.providers.standard.operators.python import ExternalPythonOperator

with DAG("bench_ours_mapped", schedule=None):
    create_task("task", "{PACKAGE}.bench:same").expand(value=list(range({MAPPED})))

def same(value):
    return value

with DAG("bench_bare_mapped", schedule=None):
    options = {{"python": os.environ["GAIAFLOW_PYTHON"], "expect_airflow": False}}
    ExternalPythonOperator.partial(
        task_id="task", python_callable=same, expect_pendulum=False, **options
    ).expand(op_args=[[i] for i in range({MAPPED})])
"""

_DOCKER = f"""
from airflow.providers.docker.operators.docker import DockerOperator

ours("dev_docker")
with DAG("bench_bare_dev_docker", schedule=None):
    chain([
        DockerOperator(
            task_id=f"task_{{i}}", image="{IMAGE}", command=["python", "-c", "print(1)"],
            auto_remove="force", mount_tmp_dir=False, network_mode="host",
        )
        for i in range({TASKS})
    ])
"""

_PODS = f"""
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.utils.xcom_sidecar import PodDefaults

WRITE = "open('/airflow/xcom/return.json', 'w').write('1')"
PodDefaults.SIDECAR_CONTAINER.image = "{IMAGE}"
ours("prod_local")
with DAG("bench_bare_prod_local", schedule=None):
    chain([
        KubernetesPodOperator(
            task_id=f"task_{{i}}", image="{IMAGE}", cmds=["python", "-c", WRITE],
            do_xcom_push=True, config_file=os.environ["PYTHONPATH"] + "/kube_config_inline",
            namespace="default", kubernetes_conn_id=None, startup_check_interval_seconds=1,
            base_container_status_polling_interval=0.5,
        )
        for i in range({TASKS})
    ])
"""


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Run each kind and its floor in turn."""
    project = workshop.project
    functions = "def nothing():\n    pass\n\n\ndef same(value):\n    return value\n"
    (project / PACKAGE / "bench.py").write_text(functions, encoding="utf-8")
    with contextlib.ExitStack() as stack:
        kinds = {"mapped": _DEV}
        if _image(project):
            stack.enter_context(_double(workshop, project))
            kinds |= {"dev_docker": _DOCKER, "prod_local": _PODS}
        else:
            say("  without a Docker engine that has " + BASE + ": processes only")
        for kind, text in kinds.items():
            file = project / "dags" / f"bench_{kind}.py"
            ids = f"\n# bench_ours_{kind} bench_bare_{kind}\n"
            file.write_text(_HEAD + text + ids, encoding="utf-8")
        stack.enter_context(workshop.running())
        api = AirflowApi(project)
        costs: dict[str, list[Cost]] = {}
        for turn in range(repeat + 1):
            for dag_id in [f"bench_{who}_{kind}" for kind in kinds for who in ("ours", "bare")]:
                cost = run(workshop, project, api, dag_id)
                if turn:  # the first compiles and reads everything
                    costs.setdefault(dag_id, []).append(cost)
                    say(f"  mode {turn}/{repeat}: {dag_id} {cost.inside:.2f} s a task")
    return [
        _row(kind, median(costs[f"bench_ours_{kind}"]), median(costs[f"bench_bare_{kind}"]))
        for kind in kinds
    ]


def _row(kind: str, ours: Cost, bare: Cost) -> Row:
    if kind == "mapped":
        name = f"{MAPPED} mapped tasks in dev / {MAPPED}"
        goal = Goal("ratio", 1.2)
        return Row(name, ours.whole, bare.whole, "ExternalPythonOperator", goal=goal)
    operator = {"dev_docker": "DockerOperator", "prod_local": "KubernetesPodOperator"}[kind]
    return Row(f"task in {kind}", ours.inside, bare.inside, operator, goal=Goal("difference", 0.3))


def _image(project: Path) -> bool:
    """Build the small image; whether there is an engine for it."""
    dockerfile = project / ".gaiaflow" / "bench.Dockerfile"
    dockerfile.write_text(_DOCKERFILE, encoding="utf-8")
    try:
        docker = local["docker"]
        docker("image", "inspect", BASE)
        docker("build", "--quiet", "--tag", IMAGE, "--file", str(dockerfile), str(project))
    except (ProcessExecutionError, OSError):
        return False
    with (project / ".env").open("a", encoding="utf-8") as env:
        env.write(f"PACKAGE_IMAGE={IMAGE}\n")
    return True


@contextlib.contextmanager
def _double(workshop: Workshop, project: Path) -> Iterator[None]:
    """The double of the Kubernetes API, as the project's cluster."""
    folder = workshop.root / "double"
    folder.mkdir()
    script = REPOSITORY / "tests" / "kubernetes" / "double.py"
    process = local[workshop.airflow("python")][str(script), str(folder)].popen()
    try:
        deadline = time.monotonic() + _LIMIT
        while not (folder / "kubeconfig.json").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise CannotMeasure("The double of the Kubernetes API did not start.")
            time.sleep(0.1)
        shutil.copy(folder / "kubeconfig.json", project / "kube_config_inline")
        code = (
            "import sys\n"
            "from kubernetes import client, config\n"
            "config.load_kube_config(sys.argv[1])\n"
            "body = client.V1Secret(metadata=client.V1ObjectMeta(name='gaiaflow'))\n"
            "client.CoreV1Api().create_namespaced_secret('default', body)"
        )
        local[workshop.airflow("python")]("-c", code, str(folder / "kubeconfig.json"))
        yield
    finally:
        process.terminate()
        process.wait()
        with contextlib.suppress(ProcessExecutionError, OSError):
            local["docker"]("rmi", "--force", IMAGE)
