"""create_task: what it refuses, which edges it makes, and what it does not import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Param
from airflow.sdk.definitions.xcom_arg import PlainXComArg
from airflow.sdk.exceptions import AirflowFailException
from docker.errors import ImageNotFound

from gaiaflow import create_task
from gaiaflow.operators.mapping import Output
from gaiaflow.operators.process import ProcessOperator
from gaiaflow.operators.resources import Resources

from .conftest import TEMPLATE


@pytest.fixture
def dag() -> Any:
    with DAG("pipeline", schedule=None, params={"scene": Param("sample")}) as dag:
        yield dag


@pytest.mark.parametrize(
    "reference", ["", "train", "package.train", "package:", ":train", "a b:c", "a.b:c.d", "a/b:c"]
)
def test_a_bad_reference_is_named(dag: DAG, reference: str) -> None:
    with pytest.raises(ValueError, match="Task 'train': the function must look like") as caught:
        create_task("train", reference)
    assert repr(reference) in str(caught.value)


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), {"a": [b"x"]}])
def test_a_bad_argument_is_named(dag: DAG, value: Any) -> None:
    with pytest.raises(ValueError, match="Task 'train': the argument 'scenes'"):
        create_task("train", "package.train:train", {"scenes": value})


def test_an_unknown_mode_is_named(dag: DAG, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIAFLOW_MODE", "production")
    with pytest.raises(ValueError, match="unknown mode 'production'; available: dev, dev_docker"):
        create_task("train", "package.train:train")


def test_edges_follow_the_data(dag: DAG) -> None:
    load: Any = create_task("load", "package.load:load", {"scene": dag.param("scene")})
    check: Any = create_task("check", "package.check:check", {"table": load.output})
    train = create_task(
        "train",
        "package.train:train",
        {"tables": [check.output["table"], "other"], "nested": {"deep": load.output["grid"]}},
    )
    report = create_task("report", "package.report:report")
    train >> report
    assert load.downstream_task_ids == {"check", "train"}
    assert check.downstream_task_ids == {"train"}
    assert train.downstream_task_ids == {"report"}


def test_options_reach_the_operator(dag: DAG) -> None:
    task: Any = create_task(
        "train", "package.train:train", retries=3, env={"SEED": 1}, trigger_rule="all_done"
    )
    assert (task.retries, task.function_env) == (3, {"SEED": 1})
    assert task.trigger_rule == "all_done"
    assert task.spec.resources == Resources(cpu=0.5, memory="1Gi")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"resources": "huge"}, "unknown resource profile 'huge'; available: small"),
        ({"resources": {"cpus": 1}}, "unknown resource 'cpus'; available: cpu, memory, gpu"),
        ({"resources": {"cpu": "2"}}, "cpu must be a number of CPUs"),
        ({"resources": {"memory": "4GB"}}, "memory must be a string like '512Mi'"),
        ({"resources": {"gpu": -1}}, "gpu must be a number of GPUs"),
        ({"resources": {"scratch": "100G"}}, "scratch must be a string like '512Mi'"),
        ({"resources": {"node_selector": {"gpu": True}}}, "node_selector must be labels"),
        (
            {"resources": {"tolerations": [{"kye": "gpu"}]}},
            "tolerations must be a list of mappings",
        ),
        ({"resources": {"image_pull_secrets": "one"}}, "image_pull_secrets must be a list"),
        ({"secrets": "archive"}, "secrets must be a list of names"),
        ({"secrets": ["My_Secret"]}, "can't be the name of a Kubernetes secret"),
        ({"env": {"1A": "x"}}, "'1A' can't be the name of an environment variable"),
    ],
)
def test_a_bad_option_is_named(dag: DAG, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match="Task 'train': ") as caught:
        create_task("train", "package.train:train", **options)
    assert says in str(caught.value)


def test_a_profile(dag: DAG) -> None:
    task = create_task("train", "package.train:train", resources="gpu")
    assert task.spec.resources == Resources(cpu=4, memory="16Gi", gpu=1)


def test_a_dag_and_a_task_can_insist_on_a_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIAFLOW_MODE", "dev")
    with DAG("insisting", schedule=None, default_args={"mode": "prod"}):
        pod = create_task("pod", "package.train:train")
        process = create_task("process", "package.train:train", mode="dev")
    assert type(pod).__name__ == "ClusterPodOperator"
    assert isinstance(process, ProcessOperator)


def test_mlflow_is_told_who_logs(dag: DAG) -> None:
    task = create_task("train", "forest_watch.train:train")
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="train", map_index=-1, try_number=2)
    context: Any = {"ti": ti}
    tags = json.loads(task.call_env(context)["MLFLOW_RUN_CONTEXT"])
    assert tags == {
        "mlflow.source.name": "forest_watch.train:train",
        "mlflow.source.type": "JOB",
        "airflow.dag_id": "d",
        "airflow.run_id": "r",
        "airflow.task_id": "train",
        "airflow.try_number": "2",
    }
    ti.map_index = 3
    tags = json.loads(task.call_env(context)["MLFLOW_RUN_CONTEXT"])
    assert tags["airflow.map_index"] == "3"
    own = create_task("own", "forest_watch.train:train", env={"MLFLOW_RUN_CONTEXT": {"a": "b"}})
    assert own.call_env(context)["MLFLOW_RUN_CONTEXT"] == '{"a": "b"}'


def test_a_container_names_its_image(dag: DAG, monkeypatch: pytest.MonkeyPatch) -> None:
    task: Any = create_task("train", "package.train:train", mode="dev_docker")
    task.image = "forest-watch:today"

    def not_pulled_yet(_: str) -> None:
        raise ImageNotFound("404")

    engine = SimpleNamespace(inspect_image=lambda _: {"Id": "sha256:abc"})
    monkeypatch.setattr(type(task), "cli", engine)
    name = {"mlflow.docker.image.uri": "forest-watch:today"}
    assert task.image_tags() == name | {"mlflow.docker.image.id": "sha256:abc"}
    engine.inspect_image = not_pulled_yet
    assert task.image_tags() == name


@pytest.mark.parametrize(("keep", "pod"), [("", "delete_pod"), ("yes", "delete_succeeded_pod")])
def test_what_failed_is_kept_on_request(
    dag: DAG, monkeypatch: pytest.MonkeyPatch, keep: str, pod: str
) -> None:
    monkeypatch.setenv("GAIAFLOW_KEEP_FAILED", keep)
    in_pod: Any = create_task("pod", "package.train:train", mode="prod_local")
    assert in_pod.on_finish_action.value == pod


def test_pods_use_one_file_and_no_connection(dag: DAG) -> None:
    task: Any = create_task("pod", "package.train:train", mode="prod_local")
    assert (task.in_cluster, task.kubernetes_conn_id) == (False, None)
    assert task.config_file == str(TEMPLATE / "kube_config_inline")
    assert task.cluster_context == "host"
    with pytest.raises(AirflowFailException, match="tells where the cluster is, does not exist"):
        task.execute({})


# Mapping


def test_a_task_is_mapped_over_an_entry(dag: DAG) -> None:
    search = create_task("search", "package.search:search")
    predict = create_task("predict", "package.predict:predict", {"model": 1}, retries=2)
    mapped: Any = predict.expand(scene=search.output["scenes"])
    assert dag.task_dict["predict"] is mapped
    assert mapped.upstream_task_ids == {"search"}
    assert mapped.retries == 2
    output: Any = mapped.output
    areas = output["area"]
    reduce: Any = create_task("reduce", "package.reduce:reduce", {"areas": areas})
    assert reduce.upstream_task_ids == {"predict"}
    assert isinstance(reduce.function_arguments["areas"], Output)


def test_the_length_of_a_result_is_that_of_the_mapped_entry(dag: DAG) -> None:
    search: Any = create_task("search", "package.search:search")
    create_task("predict", "package.predict:predict").expand(scene=search.output["scenes"])
    result = {"scenes": [1, 2, 3], "count": 3}
    search.call = lambda _: result
    measured = search.execute({})
    assert len(measured) == 3
    assert dict(measured) == result
    search.call = lambda _: {"scenes": "S2"}
    with pytest.raises(
        AirflowFailException, match=r"'scenes' in the result of .* must be a list, not str"
    ):
        search.execute({})


@pytest.mark.parametrize(
    ("lists", "says"),
    [
        ({}, "expand() takes one argument, not 0"),
        ({"a": [1], "b": [2]}, "expand() takes one argument, not 2"),
        ({"model": [1]}, "'model' is already an argument"),
        ({"scene": "S2"}, "'scene' must be a list, not str"),
        ({"scene": []}, "'scene' is an empty list"),
    ],
)
def test_a_bad_mapping_is_named(dag: DAG, lists: dict[str, Any], says: str) -> None:
    predict = create_task("predict", "package.predict:predict", {"model": 1})
    with pytest.raises(ValueError, match="Task 'predict'") as caught:
        predict.expand(**lists)
    assert says in str(caught.value)


def test_two_entries_of_one_result_cannot_both_be_mapped_over(dag: DAG) -> None:
    search = create_task("search", "package.search:search")
    create_task("one", "package.one:one").expand(scene=search.output["scenes"])
    with pytest.raises(ValueError, match="Only one entry of the result of 'search'"):
        create_task("two", "package.two:two").expand(tile=search.output["tiles"])


def test_an_entry_of_an_entry_is_refused(dag: DAG) -> None:
    search = create_task("search", "package.search:search")
    with pytest.raises(TypeError, match="get 'first' in the function"):
        search.output["scenes"]["first"]


# What one task gets of another's result


@pytest.fixture
def output(dag: DAG) -> Output:
    task = create_task("train", "package.train:train")
    assert isinstance(task, ProcessOperator)
    return task.output


def resolve(output: Output, result: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(PlainXComArg, "resolve", lambda *_: result)
    return output.resolve({})


def test_an_entry_of_a_result(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    result = {"model": "models:/m-1", "champion": None}
    assert resolve(output, result, monkeypatch) == result
    assert resolve(output["model"], result, monkeypatch) == "models:/m-1"
    assert resolve(output["champion"], result, monkeypatch) is None  # None is a value too


@pytest.mark.parametrize(
    ("result", "found"),
    [({"model": 1, "run_id": 2}, "model, run_id"), ("models:/m-1", "str")],
)
def test_a_missing_entry_is_named_with_what_there_is(
    output: Output, monkeypatch: pytest.MonkeyPatch, result: Any, found: str
) -> None:
    says = f"the result of train has no 'metrics', only: {found}"
    with pytest.raises(AirflowFailException, match=says):
        resolve(output["metrics"], result, monkeypatch)


def test_a_task_without_a_result_is_named(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that failed, for a task that runs all the same."""
    with pytest.raises(AirflowFailException, match="train has no result: it failed, or returned"):
        resolve(output["metrics"], None, monkeypatch)


# What a DAG file costs

HEAVY = ("dagfactory", "docker", "kubernetes", "mlflow", "numpy", "pandas", "sklearn")


def test_reading_a_dag_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "dag.py").write_text(
        "from airflow.sdk import DAG\n"
        "from gaiaflow import create_task\n"
        "with DAG('pipeline', schedule=None):\n"
        "    load = create_task('load', 'package.load:load', {'a': 1})\n"
        "    create_task('train', 'package.train:train', {'table': load.output['table']})\n"
    )
    code = "import sys, dag; print(*sorted(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(TEMPLATE), "AIRFLOW_HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "airflow" in loaded
    assert not loaded & set(HEAVY)
    assert "package" not in loaded  # the user's own code least of all
