"""Tasks of mode `prod` in a real cluster, with exactly the rights that deploy/ gives Airflow.

The cluster is the one in GAIAFLOW_TEST_KUBECONFIG, whose nodes have the image that
GAIAFLOW_TEST_IMAGE names, as tests/stack/test_modes.py makes it. Airflow runs on this machine and
finds the cluster as in a pod.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.stack.conftest import execute, wait_for

from .conftest import HERE, Generate
from .team import Repository, TeamAirflow, bundle

pytestmark = pytest.mark.cluster

LAUNCHER = Path("deploy", "tasks", "launcher.yaml")
NAMESPACE = "gaiaflow-test-production"  # of namespace.py
DAG = """
from datetime import timedelta

from airflow.sdk import DAG
from gaiaflow import create_task

CASES = "forest_watch.utils.cases"

with DAG("real", schedule=None, default_args={"retries": 0}):
    search = create_task("search", f"{CASES}:search", {"count": 5})
    predict = create_task("predict", f"{CASES}:predict", {"model": {"scale": 2}}).expand(
        scene=search.output["scenes"]
    )
    create_task("total", f"{CASES}:total", {"values": predict.output["area"]})
    create_task("fails", f"{CASES}:fails")
    create_task("lacks", f"{CASES}:nothing", secrets=["nowhere"])
    late = timedelta(seconds=15)
    create_task("late", f"{CASES}:deaf", {"seconds": 300}, execution_timeout=late)
"""


@pytest.fixture(scope="module")
def kubeconfig() -> str:
    if "GAIAFLOW_TEST_KUBECONFIG" not in os.environ:
        pytest.skip("GAIAFLOW_TEST_KUBECONFIG is not set")
    return os.environ["GAIAFLOW_TEST_KUBECONFIG"]


@pytest.fixture(scope="module")
def team(
    kubeconfig: str,
    environment: Path,
    account: Path,
    generate: Generate,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TeamAirflow]:
    folder = tmp_path_factory.mktemp("team")
    python = environment / "bin" / "python"
    project, _ = generate(
        "real", package_name="forest_watch", show_examples="false", deploy="kubernetes"
    )
    role = next(yaml.safe_load_all((project.root / LAUNCHER).read_text(encoding="utf-8")))
    repository = Repository("real", project.root, folder, python)
    repository.write_dags(DAG)
    repository.push("a DAG")
    try:
        made = json.loads(ask(python, kubeconfig, "make", json.dumps(role["rules"])))
        account.mkdir()
        for name, text in (("token", made["token"]), ("ca.crt", made["ca"])):
            (account / name).write_text(text, encoding="utf-8")
        (account / "namespace").write_text(NAMESPACE, encoding="utf-8")
        server = urlsplit(made["server"])
        airflow = TeamAirflow(
            folder / "airflow",
            environment,
            [bundle(repository, "main")],
            (str(server.hostname), str(server.port)),
            GAIAFLOW_IMAGE=os.environ["GAIAFLOW_TEST_IMAGE"],
        )
        with airflow.running():
            yield airflow
    finally:
        ask(python, kubeconfig, "delete")


def ask(python: Path, *arguments: str) -> str:
    done = execute(python, HERE / "namespace.py", *arguments, cwd=HERE)
    assert done.code == 0, done
    return done.out


def test_a_pipeline_in_a_real_cluster(
    team: TeamAirflow, environment: Path, kubeconfig: str
) -> None:
    team.wait_for_dag("real")
    run = team.trigger("real")
    states = team.states("real", run)
    failed = {"fails", "lacks", "late"}
    assert states == {
        task: "failed" if task in failed else "success"
        for task in ("search", "predict", "total", *failed)
    }
    assert team.result("real", run, "total") == {"sum": 2.0, "of": 5}
    for task, said in {
        "fails": ("before the failure", "no scene of this month"),
        "lacks": ("The secret 'nowhere' does not exist", f"--namespace {NAMESPACE}"),
        "late": ("sleeping", "AirflowTaskTimeout"),
    }.items():
        log = team.log("real", run, task)
        assert all(words in log for words in said), log
    python = environment / "bin" / "python"
    wait_for(lambda: ask(python, kubeconfig, "pods").strip() == "0")
