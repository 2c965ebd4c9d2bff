"""Predictions over HTTP: the champion is served, replaced under load, and survives crashes."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from tests.docs.blocks import commands_of

from .conftest import Project, has_ended, listens, person, run_block, wait_for
from .serving import BANDS, ROWS, VEGETATION, WATER, champion, close_the_loop, key, predict, served
from .test_services import ask, log_in

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def serving(stack: Project) -> Iterator[Project]:
    """The project with a champion that is served; serving is stopped at the end."""
    assert stack.manage("start").code == 0
    if not stack.manage("models", "--json").json():
        trained = stack.manage("run", "landcover")
        assert trained.code == 0, trained
    assert not (stack.root / ".gaiaflow" / "served").exists()  # it costs nothing before
    assert "serving" not in stack.status()
    started = stack.manage("start", "--service", "serving")
    assert started.code == 0, started
    yield stack
    stopped = stack.manage("stop", "--service", "serving")
    assert stopped.code == 0, stopped
    assert not listens(int(stack.env["SERVING_PORT"]))
    assert not list((stack.root / ".gaiaflow" / "served").iterdir())
    assert "serving" not in stack.status()


def log(project: Project) -> str:
    return (project.root / ".gaiaflow" / "logs" / "serving.log").read_text(encoding="utf-8")


@contextmanager
def load(project: Project, clients: int = 4) -> Iterator[list[tuple[int, str]]]:
    """Clients that ask all the time over open connections: status and version of each answer."""
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def ask_on() -> None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", int(project.env["SERVING_PORT"]), timeout=60
        )
        while not over.is_set():
            try:
                connection.request(
                    "POST", "/invocations", json.dumps(ROWS), {**JSON, **key(project)}
                )
                answer = connection.getresponse()
                answer.read()
                answers.append((answer.status, answer.headers.get("x-model-version", "")))
            except (OSError, http.client.HTTPException) as error:
                answers.append((0, repr(error)))
                connection.close()

    threads = [threading.Thread(target=ask_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(answers) > 10)
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def worker(project: Project) -> psutil.Process:
    """The process that answers, a child of the one that `status` names."""
    [child] = project.leader("serving").children()
    return child


# --- Requests ------------------------------------------------------------------------------------


def test_predictions(serving: Project) -> None:
    assert predict(serving) == (200, {"predictions": ["Water", "Vegetation"]})
    assert served(serving) == str(champion(serving))


def test_status_names_the_key(serving: Project) -> None:
    shown = serving.manage("status")
    assert serving.env["SERVING_KEY"] in shown.out
    assert serving.status()["serving"]["state"] == "healthy"


@pytest.mark.parametrize("path", ["/invocations", "/metrics", "/"])
def test_nobody_gets_in_without_the_key(serving: Project, path: str) -> None:
    for headers in ({}, log_in(serving), {"Authorization": "Bearer "}):
        assert ask(serving.url("SERVING_PORT") + path, **headers)[0] == 401


def test_wrong_input(serving: Project) -> None:
    code, answer = predict(serving, {"dataframe_records": [{"B02": 0.1, "B03": 0.1, "B04": 0.1}]})
    assert (code, answer["message"]) == (400, "The input lacks the column B08 (double).")


def test_metrics(serving: Project) -> None:
    predict(serving)
    code, body = ask(serving.url("SERVING_PORT") + "/metrics", **key(serving))
    assert code == 200
    assert re.search(rb'(?m)^serving_requests_total\{status="200"\} [1-9]', body)


def test_requests_are_stored(serving: Project) -> None:
    headers = {"X-Request-Id": "Anna-7"}
    assert predict(serving, **headers)[0] == 200
    rows = wait_for(lambda: serving.probe("serve_models", "rows", "landcover", "Anna-7"), 60)
    assert [row["output"] for row in rows] == ["Water", "Vegetation"]
    assert [[row[f"input.{band}"] for band in BANDS] for row in rows] == [WATER, VEGETATION]
    assert {row["version"] for row in rows} == {served(serving)}
    assert all(row["error"] is None and row["duration_ms"] > 0 for row in rows)
    found = serving.manage("lineage", "Anna-7", "--json").json()
    assert found["answer"]["model"] == f"models:/landcover/{served(serving)}"
    assert found["model"]["training"]["dag_run"]["task_id"] == "train"
    uses = serving.manage("lineage", "landcover", "--json").json()["uses"]
    assert sum(uses["answers"].values()) > 0 and uses["unnamed_files"] == 0


def scene(project: Project, body: Any, **headers: str) -> tuple[int, Any]:
    code, content = ask(project.url("SERVING_PORT") + "/scenes", body, **key(project), **headers)
    return code, json.loads(content)


def mapped(project: Project, job: str) -> Any:
    """A job once it is over."""

    def over() -> Any:
        code, content = ask(project.url("SERVING_PORT") + f"/scenes/{job}", **key(project))
        answer = json.loads(content)
        return code == 200 and answer["status"] in ("successful", "failed") and answer

    return wait_for(over, 120)


@pytest.mark.slow
def test_a_scene_is_mapped_as_a_job(serving: Project) -> None:
    objects = serving.manage("ls", "landcover/", "--json").json()
    where = min(
        found["key"] for found in objects if found["key"].endswith("/scene.tif")
    )  # the first run
    body = {"href": f"s3://{serving.env['S3_BUCKET']}/{where}"}
    for _ in range(2):  # the second starts nothing
        code, job = scene(serving, body, **{"X-Request-Id": "scene-1"})
        assert (code, job["jobID"]) == (202, "scene-1"), job
    other = {"href": f"s3://{serving.env['S3_BUCKET']}/other.tif"}
    assert scene(serving, other, **{"X-Request-Id": "scene-1"})[0] == 409
    done = mapped(serving, "scene-1")
    assert done["status"] == "successful", done
    [item] = done["items"]
    assert item["properties"]["gaiaflow:model"] == f"models:/landcover/{champion(serving)}"
    prefix = item["assets"]["map"]["href"].removeprefix(f"s3://{serving.env['S3_BUCKET']}/")
    [values] = serving.probe("products", prefix).values()
    assert values["layout"] == "COG"
    assert scene(serving, {"href": "file:///etc/passwd"})[0] == 400


# --- Versions ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_new_champion_takes_over_under_load(serving: Project) -> None:
    old = champion(serving)
    new = int(serving.probe("serve_models", "again", "landcover"))
    with load(serving) as answers:
        promoted = serving.manage("promote", "landcover", str(new))
        said = f"Version {new} of landcover is the champion, instead of version {old}.\n"
        assert (promoted.code, promoted.out) == (0, said)
        wait_for(lambda: answers[-1][1] == str(new), 120)
        back = serving.manage("rollback", "landcover")
        assert back.code == 0, back
        assert f"Version {old} of landcover is the champion again" in back.out
        wait_for(lambda: answers[-1][1] == str(old), 120)
    assert {answer for answer in answers if answer[0] != 200} == set()
    assert {version for _, version in answers} == {str(old), str(new)}
    assert wait_for(lambda: len(serving.leader("serving").children()) == 1)


def test_a_version_that_does_not_load(serving: Project) -> None:
    old = champion(serving)
    broken = int(serving.probe("serve_models", "broken", "landcover"))
    with load(serving, clients=1) as answers:
        assert serving.manage("promote", "landcover", str(broken)).code == 0
        wait_for(lambda: f"version {broken} of landcover does not load" in log(serving), 120)
        assert "module_that_is_gone" in log(serving)
        assert serving.manage("rollback", "landcover").code == 0
    assert set(answers) == {(200, str(old))}


def test_models(serving: Project) -> None:
    versions = serving.manage("models", "--json").json()
    newest = max(version["version"] for version in versions if version["name"] == "landcover")
    first = next(version for version in versions if version["metrics"])
    assert {"accuracy", "f1_macro"} <= first["metrics"].keys()
    table = serving.manage("models", "landcover").out.splitlines()
    assert table[0].split() == ["MODEL", "VERSION", "ALIAS", "REGISTERED", "METRICS"]
    assert table[1].split()[:2] == ["landcover", str(newest)]
    assert sum("champion" in line for line in table) == 1
    assert any("accuracy 1, f1_macro 1, cv_accuracy" in line for line in table), table


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["models", "landcov"], 1, "There is no model 'landcov'. Did you mean landcover?"),
        (["promote", "landcover", "4711"], 1, "landcover has no version 4711. It has: "),
        (["promote", "landcover", "newest"], 2, "'newest' is not a version, such as 3."),
        (["promote", "nothing", "1"], 1, "There is no model 'nothing'."),
        (["rollback", "nothing"], 1, "There is no model 'nothing'."),
        (["open", "serving"], 2, "serving has no page."),
    ],
)
def test_wrong_commands(serving: Project, command: list[str], code: int, words: str) -> None:
    done = serving.manage(*command)
    assert done.code == code and words in done.err, done


def test_no_champion_before_the_first(serving: Project) -> None:
    """Rolling back as often as possible ends with an error, not with a wrong version."""
    old = champion(serving)
    for _ in range(20):
        done = serving.manage("rollback", "landcover")
        if done.code:
            break
    assert done.code == 1 and "Choose one: " in done.err, done
    assert serving.manage("promote", "landcover", str(old)).code == 0
    again = serving.manage("promote", "landcover", str(old))
    assert again.code == 0 and "is the champion already" in again.err
    wait_for(lambda: served(serving) == str(old), 120)


def test_documentation(serving: Project) -> None:
    old = champion(serving)
    start, ask_for_one, choose = commands_of("how-to/serve.md")
    ask_for_one = ask_for_one.replace("8089", serving.env["SERVING_PORT"])
    for commands, answer in ((start, "healthy"), (ask_for_one, '{"predictions": ["Vegetation"]}')):
        done = run_block(serving, commands, person())
        assert done.code == 0 and answer in done.out, done
    serving.manage("promote", "landcover", "1")
    done = run_block(serving, choose, person())
    assert done.code == 0 and "Version 1 of landcover is the champion again" in done.out, done
    assert serving.manage("promote", "landcover", str(old)).code == 0


def test_the_loop_closes_by_itself(serving: Project) -> None:
    """Other data arrive, drift is found, a challenger wins, and serving answers with it."""
    close_the_loop(serving)


# --- Crashes -------------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced(serving: Project) -> None:
    before = served(serving)
    with load(serving, clients=1) as answers:
        child = worker(serving)
        child.kill()
        wait_for(lambda: has_ended(child))
        count = len(answers)
        wait_for(lambda: len(answers) > count + 3, 60)
    failed = [answer for answer in answers if answer[0] != 200]
    assert len(failed) <= 1, failed  # the request that the worker was working on
    assert "SIGKILL" in log(serving)
    assert served(serving) == before


@pytest.mark.slow
def test_a_killed_supervisor_leaves_no_worker(serving: Project) -> None:
    child = worker(serving)
    serving.leader("serving").kill()
    wait_for(lambda: has_ended(child))
    assert serving.status()["serving"]["state"] == "failed"
    assert serving.manage("start", "--service", "serving").code == 0
    assert predict(serving)[0] == 200


@pytest.mark.slow
def test_serving_goes_on_without_mlflow(serving: Project) -> None:
    assert serving.manage("stop", "--service", "mlflow").code == 0
    try:
        wait_for(lambda: "is served until this changes" in log(serving), 120)
        assert predict(serving)[0] == 200
        worker(serving).kill()
        assert predict(serving)[0] == 200, "the model's files are here already"
    finally:
        assert serving.manage("start").code == 0


@pytest.mark.slow
def test_no_champion(serving: Project) -> None:
    settings = serving.env_file.read_text(encoding="utf-8")
    assert serving.manage("stop", "--service", "serving").code == 0
    changed = re.sub(r"(?m)^SERVING_MODEL=.*$", "SERVING_MODEL=seagrass", settings)
    serving.env_file.write_text(changed, encoding="utf-8")
    try:
        failed = serving.manage("start", "--service", "serving")
        assert failed.code == 1
        assert "The model 'seagrass' has no champion." in failed.err, failed
        assert "promote NAME VERSION" in failed.err and "run landcover" not in failed.err
    finally:
        serving.env_file.write_text(settings, encoding="utf-8")
        assert serving.manage("start", "--service", "serving").code == 0
