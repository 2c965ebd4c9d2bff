"""`run` with DAGs that are wrong, new, changed or called wrongly."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.airflow_api import AirflowApi
from tests.receiver import TOKEN, Receiver

from .conftest import Project, wait_for

DAG = """
from datetime import timedelta
from airflow.sdk import DAG, Param
from gaiaflow import create_task

with DAG(
    "{name}",
    schedule=None,
    params={{"size": Param(1, type="integer", minimum=1)}},
):
    create_task("first", "forest_watch.utils.{module}:{function}", {arguments})
"""
FUNCTIONS = """
import logging

def size(size):
    print("the size is", size)
    return {"size": size}

def broken():
    logging.warning("about to fail")
    return inner()

def inner():
    raise ValueError("no scene of this month")
"""


class Writer:
    """Writes DAG files for one test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[Path] = []

    def __call__(self, name: str, function: str, arguments: str = "{}") -> Path:
        module = f"{name}_functions"
        self.put(self.root / "forest_watch" / "utils" / f"{module}.py", FUNCTIONS)
        text = DAG.format(name=name, module=module, function=function, arguments=arguments)
        return self.put(self.root / "dags" / f"{name}.py", text)

    def put(self, file: Path, text: str) -> Path:
        file.write_text(text, encoding="utf-8")
        self.files.append(file)
        return file


@pytest.fixture
def write(stack: Project) -> Iterator[Writer]:
    writer = Writer(stack.root)
    yield writer
    for file in writer.files:
        file.unlink(missing_ok=True)


def test_a_new_and_a_changed_dag_are_picked_up(stack: Project, write: Writer) -> None:
    file = write("fresh", "size", '{"size": 3}')
    done = stack.manage("run", "fresh")
    assert done.code == 0, done
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"first"', '"second"'), encoding="utf-8")
    tasks = stack.manage("run", "fresh", "--json").json()["tasks"]
    assert [task["task_id"] for task in tasks] == ["second"]


@pytest.mark.parametrize(
    ("schedule", "conf"),
    [
        ("'@daily', start_date=datetime(2026, 1, 1)", "{}"),
        ("'@daily', start_date=datetime(2026, 1, 1)", '{"size": 2}'),
        ("timedelta(days=1)", "{}"),  # has no fixed times
    ],
)
def test_a_new_dag_with_a_schedule_runs_once(
    stack: Project, write: Writer, schedule: str, conf: str
) -> None:
    """To unpause it makes its schedule start a run: that is ours, or ours takes its place."""
    name = f"scheduled_{len(schedule)}_{len(conf)}"
    file = write(name, "size", '{"size": "{{ params.size }}"}')
    text = file.read_text(encoding="utf-8").replace("schedule=None", f"schedule={schedule}")
    file.write_text(text.replace("import timedelta", "import datetime, timedelta"))
    done = stack.manage("run", name, "--conf", conf, "--json")
    run = done.json()
    assert "from now on it runs on its schedule" in done.err
    assert runs_of(stack, name) == [run["run_id"]]
    again = stack.manage("run", name, "--conf", conf, "--json").json()
    assert set(runs_of(stack, name)) == {run["run_id"], again["run_id"]}


def runs_of(project: Project, dag_id: str) -> list[str]:
    """Those that Airflow's database has."""
    address = (project.root / ".gaiaflow" / "data" / "airflow.db").as_uri() + "?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
        rows = database.execute("SELECT run_id FROM dag_run WHERE dag_id = ?", [dag_id])
        return [row[0] for row in rows]


def test_parameters_reach_the_function(stack: Project, write: Writer) -> None:
    write("sized", "size", '{"size": "{{ params.size }}"}')
    done = stack.manage("run", "sized", "--conf", '{"size": 7}')
    assert done.code == 0, done


def test_a_conf_that_the_dag_refuses(stack: Project, write: Writer) -> None:
    write("refusing", "size", '{"size": 1}')
    for conf in ('{"size": "big"}', '{"size": 0}'):
        done = stack.manage("run", "refusing", "--conf", conf)
        assert done.code == 2, done
        assert "The DAG 'refusing' does not accept this --conf" in done.err
        assert "size" in done.err


def test_a_conf_with_a_name_that_the_dag_does_not_have(stack: Project) -> None:
    done = stack.manage("run", "landcover", "--conf", '{"szene": "sample"}')
    assert done.code == 2, done
    assert "has no parameter 'szene', only: " in done.err


@pytest.mark.parametrize(
    ("conf", "says"),
    [("{", "--conf is not JSON"), ("size=3", "--conf is not JSON"), ("[1]", "a JSON object")],
)
def test_a_conf_that_is_no_json(stack: Project, conf: str, says: str) -> None:
    done = stack.manage("run", "landcover", "--conf", conf)
    assert done.code == 2, done
    assert says in done.err
    assert "Traceback" not in done.err


def test_an_unknown_dag(stack: Project) -> None:
    done = stack.manage("run", "landcovr")
    assert done.code == 1, done
    assert "There is no DAG 'landcovr' in dags/. Did you mean landcover or " in done.err
    assert re.search(r"(?m)^Known: .*change_me.*landcover", done.err)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("import rasterio", "DAG files run in Airflow's environment, and rasterio is not in it"),
        ("with DAG(", "SyntaxError"),
        ('create_task("train", "forest_watch.train")', "the function must look like"),
    ],
)
def test_a_dag_that_does_not_import(stack: Project, write: Writer, line: str, says: str) -> None:
    name = "hurt_" + re.sub(r"\W", "", line)[:12]
    text = f"from airflow.sdk import DAG\nfrom gaiaflow import create_task\n# {name}\n{line}\n"
    write.put(stack.root / "dags" / f"{name}.py", text)
    done = stack.manage("run", name)
    assert done.code == 1, done
    assert f"error: dags/{name}.py, line 4: " in done.err
    assert says in done.err
    assert "until this is fixed" in done.err


def test_a_task_that_raises(stack: Project, write: Writer) -> None:
    write("raising", "broken")
    done = stack.manage("run", "raising")
    assert done.code == 1, done
    assert "log of first, try 1" in done.err
    assert "about to fail" in done.err
    assert "ValueError: no scene of this month" in done.err
    assert re.search(r'raising_functions.py", line \d+, in inner', done.err)
    assert "gaiaflow/runner.py" not in done.err
    assert "raising failed after" in done.err


def test_a_task_whose_function_is_missing(stack: Project, write: Writer) -> None:
    write("missing", "nothing")
    done = stack.manage("run", "missing")
    assert done.code == 1, done
    assert "forest_watch.utils.missing_functions has no function 'nothing'" in done.err


def test_a_result_that_is_no_json(stack: Project, write: Writer) -> None:
    write("setting", "size", '{"size": 1}')
    functions = stack.root / "forest_watch" / "utils" / "setting_functions.py"
    functions.write_text("def size(size):\n    return {'sizes': {size}}\n", encoding="utf-8")
    done = stack.manage("run", "setting")
    assert done.code == 1, done
    assert "'sizes' in the result of forest_watch.utils.setting_functions:size" in done.err


TELLING = """
from datetime import timedelta
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Asset
from gaiaflow import create_task

FOUND = Asset("telling_found", extra={"notify": "Something was found"})

with DAG("telling", schedule=None):
    find = create_task(
        "find", "forest_watch.utils.telling_functions:find", updates={"found": FOUND}
    )
    # Until nobody has answered. Airflow 3.3 fails a task that goes on before it has noticed the end
    # of the process that asked.
    soon = timedelta(seconds=10)
    approve = ApprovalOperator(
        task_id="approve", subject="Go on?", response_timeout=soon, defaults="Approve"
    )
    find >> approve >> create_task("fail", "forest_watch.utils.telling_functions:broken")

with DAG("after_telling", schedule=[FOUND], is_paused_upon_creation=False):
    create_task("only", "forest_watch.utils.telling_functions:find")
"""
FIND = """
import os

def find():
    return {"found": True, "where": "B04", "told": sorted(os.environ).count("NOTIFY_URLS")}
"""


@pytest.mark.slow
def test_people_are_told(stack: Project, told: Receiver, write: Writer) -> None:
    """Of an updated asset, a question and a failure, once each; another server refuses all."""
    functions = stack.root / "forest_watch" / "utils" / "telling_functions.py"
    write.put(functions, FIND + FUNCTIONS)
    write.put(stack.root / "dags" / "telling.py", TELLING)
    with stack.in_background("run", "telling") as run:
        found = told.about("telling", 120)
        assert found["title"] == "forest_watch: Something was found"
        lines = found["message"].splitlines()
        assert lines[:-1] == ["found: True", "told: 0", "where: B04"]
        assert lines[-1].startswith(stack.url("AIRFLOW_PORT") + "/dags/telling/runs/manual__")
        question = told.about("telling")
        assert question["title"] == "forest_watch: telling waits for an answer: Go on?"
        assert "/tasks/approve/required_actions" in question["message"]
        assert run.wait(120) == 1
    failure = told.about("telling")
    assert (failure["title"], failure["type"]) == ("forest_watch: telling failed", "failure")
    assert failure["message"].startswith("Failed: fail\n")
    airflow, after = AirflowApi(stack.root), "/dags/after_telling/dagRuns"
    wait_for(lambda: [run["state"] for run in airflow.get(after)["dag_runs"]] == ["success"])
    assert "telling" not in str(list(told.got.queue))

    def log() -> str:
        return stack.manage("logs", "airflow-scheduler").out

    wait_for(lambda: "Not sent: telling failed" in log())  # the other server is asked again
    assert TOKEN not in log() + stack.manage("logs", "airflow-api-server").out
