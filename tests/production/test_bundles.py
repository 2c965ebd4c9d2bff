"""DAGs that arrive from a branch: each with the code, the framework and the image of its commit."""

from __future__ import annotations

from .conftest import DAG, IMAGES, Team


def test_two_projects_share_an_airflow(team: Team) -> None:
    airflow = team.airflow
    for name, image in zip(team.repositories, IMAGES[:2], strict=True):
        commit = team.repositories[name].git("ls-remote", "origin", "refs/heads/deploy/prod")[:40]
        airflow.wait_for_commit(name, commit)
        results = airflow.results(name, airflow.trigger(name))
        assert {result["image"] for result in results.values()} == {image}
        framework = results["first"]["arguments"]["framework"]
        assert f"/{name}/" in framework and commit in framework
        assert results["second"]["arguments"]["first"] == results["first"]
    assert not airflow.api.get("/importErrors")["import_errors"]
    assert {item["dag_id"] for item in airflow.api.get("/dags")["dags"]} == {*team.repositories}


def test_a_deployment_and_its_return_during_a_run(team: Team) -> None:
    """Runs that have begun end with their own code and image; new ones get the new."""
    airflow, forest = team.airflow, team.repositories["forest"]
    before = forest.git("ls-remote", "origin", "refs/heads/deploy/prod")[:40]
    airflow.wait_for_commit("forest", before)
    hold = team.cluster / "hold"
    hold.touch()
    old = airflow.trigger("forest")
    airflow.wait_for_tasks("forest", old, "deferred")

    forest.write_dag(DAG.format(name="forest", code="2"))
    after = forest.release("v2", IMAGES[2])
    airflow.wait_for_commit("forest", after)
    new = airflow.trigger("forest")
    airflow.wait_for_tasks("forest", new, "deferred")

    forest.move_prod(before)
    airflow.wait_for_commit("forest", before)
    again = airflow.trigger("forest")
    hold.unlink()

    for run, code, image in ((old, "1", IMAGES[0]), (new, "2", IMAGES[2]), (again, "1", IMAGES[0])):
        results = airflow.results("forest", run)
        found = {(item["arguments"]["code"], item["image"]) for item in results.values()}
        assert found == {(code, image)}


def test_no_pod_is_left(team: Team) -> None:
    log = (team.cluster / "pods.log").read_text(encoding="utf-8").splitlines()
    made = [line.removeprefix("made ") for line in log if line.startswith("made ")]
    gone = [line.removeprefix("gone ") for line in log if line.startswith("gone ")]
    assert made and sorted(made) == sorted(gone)
