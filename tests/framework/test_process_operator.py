"""Tasks of mode `dev`, as real processes without Airflow's services.

Each test runs twice: with a new process for every task, and with a fork of the warm server.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import structlog
from airflow.sdk.exceptions import AirflowFailException

from gaiaflow import create_task, warm
from gaiaflow.operators import process
from gaiaflow.warm import client

from .warm import make_project, python, serving, until

MODULE = """
import gc, os, resource, signal, subprocess, sys, threading, time

def wrong():
    raise ValueError("too many clouds")

def out_of_reach():
    raise ConnectionError("the archive does not answer")

def deaf(file):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    command = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", command])
    with open(file + ".part", "w") as pids:
        pids.write(f"{os.getpid()} {child.pid}")
    os.replace(file + ".part", file)
    while True:
        time.sleep(0.1)

def talk():
    print("one")
    print("two", file=sys.stderr)
    subprocess.run(["echo", "three"])
    os.write(1, b"f\\xfcnf\\n")
    print("six", end="")

def leave(how):
    if how == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "at once":
        os._exit(7)
    else:
        sys.exit(how)

def clean_up(file):
    try:
        open(file + ".begun", "w").close()
        time.sleep(600)
    finally:
        open(file, "w").close()
        print("cleaned up")

def at_exit(file):
    import atexit, logging.handlers
    atexit.register(lambda: open(file, "w").close())
    threading.Thread(target=lambda: (time.sleep(0.3), print("the thread, too"))).start()

def inheritable(file):
    try:
        return os.get_inheritable(file)
    except OSError:
        return False

def world():
    return {
        "environment": dict(os.environ),
        "arguments": sys.argv,
        "main": sys.modules["__main__"].__spec__.name,
        "path": sys.path,
        "folder": os.getcwd(),
        "leads its session": os.getsid(0) == os.getpid() == os.getpgid(0),
        "signals": {str(number): str(signal.getsignal(number)).split(" at ")[0]
                    for number in signal.valid_signals()},
        "blocked": [str(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "limits": [resource.getrlimit(number) for number in range(16)],
        "files": [number for number in range(64) if inheritable(number)],
        "input": sys.stdin.read(),
        "streams": [(stream.encoding, stream.errors, stream.line_buffering)
                    for stream in (sys.stdout, sys.stderr)],
        "flags": list(sys.flags),
        "warnings": str(__import__("warnings").filters),
        "umask": os.umask(0o022),
        "priority": os.nice(0),
        "threads": [thread.name for thread in threading.enumerate()],
        "collects": [gc.isenabled(), gc.get_threshold()],
        "switch": [sys.getswitchinterval(), sys.getrecursionlimit()],
    }

def secret():
    return [os.environ["ARCHIVE_KEY"], os.environ["SCENES"]]
"""

CONTEXT: Any = {
    "ti": SimpleNamespace(dag_id="dag", run_id="run", task_id="task", try_number=1, map_index=-1)
}
BASE = {"LANG": "C.UTF-8", "PYTHONUTF8": "1", "SETTING": "of .env"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = make_project(tmp_path_factory.mktemp("operator") / "project", {"mine.py": MODULE}, {})
    with serving(root, base(root)):
        yield root


@pytest.fixture(params=["process", "warm"])
def project(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in miniature, with the framework in it, as tasks of mode `dev` find it."""
    for name in {*os.environ} - {"PATH", "PYTEST_CURRENT_TEST"}:
        monkeypatch.delenv(name)
    for name, value in base(root).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(client, "_HIDDEN", (*client._HIDDEN, "PYTEST_"))
    monkeypatch.setattr(process, "ROOT", root)
    if request.param == "process":
        monkeypatch.setattr(warm, "start", lambda *_: None)
    return root


def base(root: Path) -> dict[str, str]:
    """The variables that all tasks get."""
    return {**BASE, "GAIAFLOW_PYTHON": python(root), "PATH": os.environ["PATH"]}


def execute(function: str, arguments: dict[str, Any] | None = None, **options: Any) -> Any:
    return create_task("task", f"mine:{function}", arguments or {}, **options).execute(CONTEXT)


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as events:
        yield events


def lines(log: list[Any]) -> list[str]:
    """What the function printed, as it is in the task's log."""
    return [event["event"] for event in log if event["log_level"] == "info"]


def test_the_test_uses_both_ways(project: Path, request: pytest.FixtureRequest) -> None:
    task: Any = create_task("world", "mine:world")
    task.execute(CONTEXT)
    expected = warm.WarmTask if "warm" in request.node.name else subprocess.Popen
    assert isinstance(task._process, expected)


def test_the_function_finds_the_same_world(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a process can ask about itself differs between the two ways."""
    world = execute("world")
    monkeypatch.setattr(warm, "start", lambda *_: None)
    of_a_process = execute("world")
    for found in (world, of_a_process):
        assert found["environment"].items() >= BASE.items()
        del found["environment"]["GAIAFLOW_RESULT"]
    assert world == of_a_process


def test_output_is_logged_line_by_line(project: Path, log: list[Any]) -> None:
    execute("talk")
    assert lines(log) == ["one", "two", "three", "f\\xfcnf", "six"]


@pytest.mark.parametrize(
    ("how", "code"), [(3, 3), (256 + 65, 65), ("no scenes", 1), ("at once", 7), ("signal", -9)]
)
def test_exit_codes(project: Path, how: Any, code: int) -> None:
    with pytest.raises((RuntimeError, AirflowFailException)) as caught:
        execute("leave", {"how": how})
    expected = "see above. It is not retried" if code == 65 else f"failed with exit code {code}:"
    assert expected in str(caught.value)


def test_leaving_without_an_error_is_none(project: Path) -> None:
    assert execute("leave", {"how": 0}) is None


def test_exit_handlers_and_threads_end_first(project: Path, tmp_path: Path, log: list[Any]) -> None:
    file = tmp_path / "file"
    execute("at_exit", {"file": str(file)})
    assert lines(log) == ["the thread, too"]
    until(file.exists)


def test_a_data_error_is_not_tried_again(project: Path, log: list[Any]) -> None:
    with pytest.raises(AirflowFailException, match="mine:wrong failed: see above"):
        execute("wrong")
    first, second, *_, last = lines(log)
    assert first == "Traceback (most recent call last):"
    assert second.startswith(f'  File "{project}/mine.py", line ')
    assert last == "ValueError: too many clouds"


def test_an_error_that_may_pass_is(project: Path) -> None:
    with pytest.raises(RuntimeError, match="mine:out_of_reach failed with exit code 1"):
        execute("out_of_reach")


def test_arguments_that_cannot_travel_are_not_tried_again(project: Path) -> None:
    task: Any = create_task("wrong", "mine:wrong", {"scene": "s"})
    task.function_arguments["scene"] = object()  # as of another task that is not of ours
    with pytest.raises(AirflowFailException, match="'scene' in the arguments is not a JSON value"):
        task.execute(CONTEXT)


def test_variables_and_secrets_of_a_task(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIAFLOW_SECRETS", '{"ARCHIVE_KEY": "k"}')
    assert execute("secret", env={"SCENES": "s"}, secrets=["archive"]) == ["k", "s"]
    with pytest.raises(AirflowFailException, match="mine:secret failed"):  # not in the next one
        execute("secret")


def test_a_function_cleans_up_when_its_time_is_up(project: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    task: Any = create_task("clean_up", "mine:clean_up", {"file": str(file)})
    with killed_when(Path(f"{file}.begun").exists, task) as ended:
        pass
    assert file.exists()
    assert "failed with exit code 143" in str(ended[0])


def test_nothing_is_left_of_a_function_whose_time_is_up(project: Path, tmp_path: Path) -> None:
    """Not even of one that takes no hint, and of what it has started: its retry would meet it."""
    file = tmp_path / "pids"
    task: Any = create_task("deaf", "mine:deaf", {"file": str(file)})
    with killed_when(file.exists, task) as ended:
        processes = [psutil.Process(int(pid)) for pid in file.read_text().split()]
    _, alive = psutil.wait_procs(processes, timeout=60)  # all have been killed by now
    assert not alive
    assert "failed with exit code -9" in str(ended[0])


def test_there_is_nothing_to_end_before_it_began(project: Path) -> None:
    task: Any = create_task("wrong", "mine:wrong")
    task.on_kill()


@contextlib.contextmanager
def killed_when(ready: Callable[[], Any], task: Any) -> Iterator[list[BaseException]]:
    """Execute a task and kill it when it's ready, as Airflow does; yields when it is ready."""
    ended: list[BaseException] = []

    def work() -> None:
        try:
            task.execute(CONTEXT)
        except BaseException as error:
            ended.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    until(ready)
    yield ended
    task.on_kill()
    worker.join(60)
    assert not worker.is_alive()
