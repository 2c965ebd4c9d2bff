"""DAGs that arrive from a branch: each with the code, the framework and the image of its commit.

Airflow and git are real. The pods of the cluster's double (tests/kubernetes/simulated.py) run
nothing: they show which image and arguments each task would have got. What pods do is tested in
tests/stack/test_modes.py and test_cluster.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kubernetes import running_double

from .conftest import Generate
from .team import Repository, TeamAirflow, bundle

IMAGES = [f"ghcr.io/team/forest@sha256:{digit * 64}" for digit in "123"]
DAG = """
from pathlib import Path

from airflow.sdk import DAG

import gaiaflow
from gaiaflow import create_task

FRAMEWORK = str(Path(gaiaflow.__file__).parents[1])

with DAG("{name}", schedule=None):
    first = create_task("first", "{name}.maps:draw", {{"code": "{code}", "framework": FRAMEWORK}})
    second = create_task("second", "{name}.maps:draw", {{"code": "{code}", "first": first.output}})
"""


@dataclass(frozen=True)
class Team:
    """Its Airflow, its repositories, and the folder of its cluster's double."""

    airflow: TeamAirflow
    repositories: dict[str, Repository]
    cluster: Path


@pytest.fixture(scope="module")
def team(
    environment: Path, account: Path, generate: Generate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    python, cluster = environment / "bin" / "python", account.parent
    repositories = {}
    for name, image in zip(("forest", "coast"), IMAGES[:2], strict=True):
        project, _ = generate(name, package_name=name, show_examples="false", deploy="kubernetes")
        repositories[name] = Repository(name, project.root, folder, python)
        repositories[name].write_dags(DAG.format(name=name, code="1"))
        repositories[name].release("v1", image)
    bundles = [bundle(repository, "deploy/prod") for repository in repositories.values()]
    with running_double(python, cluster, "simulated.py"):
        api = ("127.0.0.1", (account / "port").read_text())
        airflow = TeamAirflow(
            folder / "airflow", environment, bundles, api, GAIAFLOW_IMAGE="of-no-commit"
        )
        with airflow.running():
            yield Team(airflow, repositories, cluster)


def test_two_projects_share_an_airflow(team: Team) -> None:
    airflow = team.airflow
    for name, image in zip(team.repositories, IMAGES[:2], strict=True):
        commit = team.repositories[name].git("ls-remote", "origin", "refs/heads/deploy/prod")[:40]
        airflow.wait_for_dag(name, commit)
        results = airflow.results(name, airflow.trigger(name))
        assert {result["image"] for result in results.values()} == {image}
        framework = results["first"]["arguments"]["framework"]
        assert f"/{name}/" in framework and commit in framework
        assert results["second"]["arguments"]["first"] == results["first"]
    assert not airflow.api.get("/importErrors")["import_errors"]
    assert {item["dag_id"] for item in airflow.api.get("/dags")["dags"]} == {*team.repositories}
    assert_no_pod_is_left(team.cluster)


def test_a_deployment_and_its_return_during_a_run(team: Team) -> None:
    """Runs that have begun end with their own code and image; new ones get the new."""
    airflow, forest = team.airflow, team.repositories["forest"]
    before = forest.git("ls-remote", "origin", "refs/heads/deploy/prod")[:40]
    airflow.wait_for_dag("forest", before)
    hold = team.cluster / "hold"
    hold.touch()
    old = airflow.trigger("forest")
    airflow.wait_for_tasks("forest", old, "deferred")

    forest.write_dags(DAG.format(name="forest", code="2"))
    after = forest.release("v2", IMAGES[2])
    airflow.wait_for_dag("forest", after)
    new = airflow.trigger("forest")
    airflow.wait_for_tasks("forest", new, "deferred")

    forest.move_prod(before)
    airflow.wait_for_dag("forest", before)
    again = airflow.trigger("forest")
    hold.unlink()

    for run, code, image in ((old, "1", IMAGES[0]), (new, "2", IMAGES[2]), (again, "1", IMAGES[0])):
        results = airflow.results("forest", run)
        found = {(item["arguments"]["code"], item["image"]) for item in results.values()}
        assert found == {(code, image)}
    assert_no_pod_is_left(team.cluster)


def assert_no_pod_is_left(cluster: Path) -> None:
    log = (cluster / "pods.log").read_text(encoding="utf-8").splitlines()
    made = [line.removeprefix("made ") for line in log if line.startswith("made ")]
    gone = [line.removeprefix("gone ") for line in log if line.startswith("gone ")]
    assert made and sorted(made) == sorted(gone)
