"""From an edit to its result: `call`, `run --from` and `run --watch`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.airflow_api import AirflowApi

from .conftest import Project, as_in_a_terminal, person, wait_for

DAG = """
from airflow.sdk import DAG
from gaiaflow import create_task

with DAG("lakes", schedule=None):
    first = create_task("first", "forest_watch.utils.lakes:first", env={"LAKES": "7"})
    second = create_task("second", "forest_watch.utils.lakes:second", {"lakes": first.output["n"]})
    third = create_task("third", "forest_watch.utils.more:third", {"lakes": second.output["n"]})
"""
LAKES = """
import os
import sys
import time
from pathlib import Path

def first():
    print("counting", file=sys.stderr)
    with Path("data", "first.txt").open("a") as file:
        file.write("first ")
    return {"n": int(os.environ.get("LAKES", 1))}

def parent():
    return os.getppid()

def busy():
    end = time.monotonic() + 2
    while time.monotonic() < end:
        pass
    return {"n": 1}

def second(lakes, factor=1):
    print("multiplying")
    return {"n": lakes * factor}
"""
SLOW = """
import time
from pathlib import Path

def slow():
    Path("data", "begun.txt").touch()
    try:
        time.sleep(600)
    finally:
        Path("data", "ended.txt").touch()
"""
MORE = """
def third(lakes):
    return {"n": lakes + 100}
"""


@pytest.fixture
def lakes(running: Project) -> Iterator[Project]:
    folder = running.root / "forest_watch" / "utils"
    files = {running.root / "dags" / "lakes.py": DAG, folder / "lakes.py": LAKES}
    files[folder / "more.py"] = MORE
    for file, text in files.items():
        file.write_text(text, encoding="utf-8")
    yield running
    for file in (*files, running.root / "data" / "first.txt"):
        file.unlink(missing_ok=True)


def second(project: Project, *arguments: str) -> Any:
    return project.manage("call", "forest_watch.utils.lakes:second", *arguments).json()


def test_a_function_is_called_as_a_task_would(lakes: Project) -> None:
    assert lakes.manage("run", "lakes").code == 0
    done = lakes.manage("call", "forest_watch.utils.lakes:second", "--from-run")
    assert done.json() == {"n": 7}  # what the function prints is not in the result
    assert "Arguments of second in lakes, manual__" in done.err
    assert "multiplying" in done.err
    assert second(lakes, "--from-run", "factor=3") == {"n": 21}
    assert second(lakes, "lakes=2", "factor=[1, 2]") == {"n": [1, 2, 1, 2]}
    assert second(lakes, "lakes=ü=") == {"n": "ü="}
    first = lakes.manage("call", "forest_watch.utils.lakes:first", "--from-run")
    assert first.json() == {"n": 7}  # the task's own variable
    wait_for(lambda: "Warm tasks: ready" in lakes.manage("status").out)
    parent = psutil.Process(lakes.manage("call", "forest_watch.utils.lakes:parent").json())
    assert "gaiaflow.warm" in parent.cmdline()  # the imports were there already


@pytest.mark.parametrize("env", [{}, {"LAKES": "1"}])  # a fork, and a process
def test_an_interrupted_function_cleans_up(lakes: Project, env: dict[str, str]) -> None:
    functions = lakes.root / "forest_watch" / "utils" / "lakes.py"
    begun, ended = (lakes.root / "data" / name for name in ("begun.txt", "ended.txt"))
    functions.write_text(SLOW, encoding="utf-8")
    for name, value in env.items():  # the user's own variables
        lakes.env_file.write_text(f"{lakes.env_file.read_text()}{name}={value}\n")
    with lakes.in_background("call", "forest_watch.utils.lakes:slow") as process:
        wait_for(begun.exists)
        process.send_signal(2)
        assert process.wait(60) == 130
    wait_for(ended.exists)
    wait_for(lambda: not lakes.tasks())  # it says that it has ended, and then frees its memory
    for file in (begun, ended):
        file.unlink()
    for name, value in env.items():
        text = lakes.env_file.read_text().replace(f"{name}={value}\n", "")
        lakes.env_file.write_text(text)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["forest_watch.utils.lakes"], 2, "Write package.module:function"),
        (["forest_watch.utils.lakes:second", "7"], 2, "Write NAME=VALUE, such as"),
        (["forest_watch.utils.lakes:second", "lake=7"], 1, "unexpected keyword argument 'lake'"),
        (["forest_watch.utils.lakes:fourth"], 1, "has no function 'fourth'"),
        (["forest_watch.utils.lakes:fourth", "--from-run"], 1, "has not run as a task in mode dev"),
    ],
)
def test_a_wrong_call(lakes: Project, arguments: list[str], code: int, says: str) -> None:
    done = lakes.manage("call", *arguments)
    assert done.code == code, done
    assert says in done.err
    assert done.out == ""


def test_a_profile_is_a_flame_graph(lakes: Project) -> None:
    # Long enough for py-spy to attach to it, on a busy machine as well.
    done = lakes.manage("call", "forest_watch.utils.lakes:busy", "--profile")
    assert done.json() == {"n": 1}
    [file] = (lakes.root / ".gaiaflow" / "profiles").iterdir()
    assert str(file) in done.err
    assert "forest_watch" in file.name
    assert "<svg" in file.read_text(encoding="utf-8")


def test_the_rest_of_a_run_uses_stored_results(lakes: Project) -> None:
    assert lakes.manage("run", "lakes").code == 0
    counted = lakes.root / "data" / "first.txt"
    before = counted.read_text()
    AirflowApi(lakes.root).patch("/dags/lakes", {"is_paused": True})
    done = lakes.manage("run", "lakes", "--from", "second", "--json")
    run = done.json()
    assert run["state"] == "success"
    assert {task["task_id"]: task["try_number"] for task in run["tasks"]} == {
        "first": 1,
        "second": 2,
        "third": 2,
    }
    assert counted.read_text() == before

    done = lakes.manage("run", "lakes", "--from", "secnd")
    assert done.code == 2, done
    assert "Did you mean second?" in done.err


def test_a_run_that_failed_goes_on_from_there(lakes: Project) -> None:
    functions = lakes.root / "forest_watch" / "utils" / "lakes.py"
    functions.write_text(LAKES.replace("lakes * factor", "lakes / 0"), encoding="utf-8")
    assert lakes.manage("run", "lakes").code == 1
    done = lakes.manage("run", "lakes", "--from", "third")
    assert done.code == 1, done
    assert "The last run has no result of second, which third needs." in done.err
    functions.write_text(LAKES, encoding="utf-8")
    done = lakes.manage("run", "lakes", "--from", "second")
    assert done.code == 0, done


def test_a_dag_that_never_ran_has_no_rest(lakes: Project) -> None:
    text = DAG.replace('"lakes"', '"seas"', 1)
    (lakes.root / "dags" / "seas.py").write_text(text, encoding="utf-8")
    try:
        done = lakes.manage("run", "seas", "--from", "second")
    finally:
        (lakes.root / "dags" / "seas.py").unlink()
    assert done.code == 1, done
    assert "seas has not run yet" in done.err


def test_edits_run_what_they_touch(lakes: Project, tmp_path: Path) -> None:
    assert lakes.manage("run", "lakes", "--conf", '{"basin": 3}').code == 0
    said, script = tmp_path / "said", lakes.root / "mlops_manager.py"
    command = [sys.executable, str(script), "run", "lakes", "--from", "second", "--watch"]
    with said.open("w") as output:
        process = psutil.Popen(
            command,
            env=person(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=as_in_a_terminal,
        )

    functions, dag = lakes.root / "forest_watch" / "utils", lakes.root / "dags" / "lakes.py"
    other = dag.with_name("other.yml")

    def waits(times: int) -> str:
        text = said.read_text()
        assert process.poll() is None, text
        return text if text.count("Waiting for edits") >= times else ""

    def after(edit: Path, text: str) -> str:
        """What is said from an edit until the next may follow."""
        before = said.read_text()
        edit.write_text(text, encoding="utf-8")
        return str(wait_for(lambda: waits(before.count("Waiting for edits") + 1)))[len(before) :]

    try:
        assert "lakes is green" in wait_for(lambda: waits(1))
        told = after(functions / "more.py", MORE.replace("100", "200"))
        assert "third: running" in told or "third: success" in told
        assert "second: running" not in told
        assert "lakes is green" in told
        assert "No task of lakes uses it." in after(other, "")
        told = after(functions / "lakes.py", LAKES.replace("lakes * factor", "lakes / 0"))
        assert "ZeroDivisionError" in told
        assert "lakes is green" in after(functions / "lakes.py", LAKES)
        assert "No task of lakes uses it." in after(functions / "unused.py", "")
        assert "SyntaxError" in after(dag, DAG + "(")
        assert "lakes is green" in after(dag, DAG)
        [newest] = AirflowApi(lakes.root).get("/dags/lakes/dagRuns?order_by=-id&limit=1")[
            "dag_runs"
        ]
        assert newest["conf"] == {"basin": 3}
        process.send_signal(2)
        assert process.wait(60) == 0
    finally:
        for file in (functions / "unused.py", other):
            file.unlink(missing_ok=True)
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.slow  # it stops all of them, and starts them again
def test_a_function_needs_no_services(lakes: Project) -> None:
    assert lakes.manage("stop").code == 0
    try:
        done = lakes.manage("call", "forest_watch.utils.lakes:second", "lakes=2")
    finally:
        assert lakes.manage("start").code == 0  # the next tests expect them
    assert done.json() == {"n": 2}
    assert "The services aren't running" in done.err
