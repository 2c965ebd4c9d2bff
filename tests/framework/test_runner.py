"""The runner: JSON in, JSON out, and errors that point into the user's code."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaiaflow import __version__
from gaiaflow.runner import FINAL, LIMIT, NotJsonError, to_json

from .conftest import TEMPLATE

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)


class Scalar:
    """Looks like numpy's: not a JSON value, but `.item()` is one."""

    ndim = 0

    def item(self) -> int:
        return 1


# What a value is called that cannot travel


@given(json_values)
def test_json_stays_what_it_is(value: Any) -> None:
    assert json.loads(to_json(value, "the result")) == value


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("nan"), "the result is not a JSON value (nan). Use None for missing values."),
        ({"a": float("inf")}, "'a' in the result is not a JSON value (inf). Use None"),
        ({"a": Scalar()}, "'a' in the result is not a JSON value (Scalar). Call .item() on it."),
        ({"a": {1, 2}}, "'a' in the result is not a JSON value (set). Keep the data in the object"),
        ({"a": [1, {"b": b"raw"}]}, "'b' in 1 in 'a' in the result is not a JSON value (bytes)"),
        ({("x", "y"): 1}, "the key ('x', 'y') of the result is not a JSON value (tuple)"),
        ({"a": {(1,): 1}}, "the key (1,) of 'a' in the result is not a JSON value (tuple)"),
        ({1: "fine", 2: float("nan")}, "2 in the result is not a JSON value (nan)"),
        (Path("x"), "the result is not a JSON value (PosixPath)"),
    ],
)
def test_what_is_no_json_is_named(value: Any, says: str) -> None:
    with pytest.raises(NotJsonError) as caught:
        to_json(value, "the result")
    assert str(caught.value).startswith(says)


def test_what_contains_itself_is_named() -> None:
    tree: dict[str, Any] = {}
    tree["parent"] = tree
    with pytest.raises(NotJsonError, match="the result contains itself"):
        to_json(tree, "the result")


def test_what_is_too_large_is_named() -> None:
    rows = {"rows": list(range(LIMIT)), "count": LIMIT}
    with pytest.raises(NotJsonError, match=rf"'rows' in the result is too large .*{LIMIT}\)"):
        to_json(rows, "the result")
    with pytest.raises(NotJsonError, match="the result is too large"):
        to_json("ü" * (LIMIT // 2), "the result")  # bytes count, not letters
    assert to_json("x" * (LIMIT - 2), "the result")


# The program


class Runner:
    """Runs a function of a module that a test writes, as a task does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.result = folder / "result.json"

    def __call__(self, source: str, function: str = "f", **arguments: Any) -> Any:
        with self.started(source, function, **arguments) as process:
            out, _ = process.communicate()
            return subprocess.CompletedProcess(process.args, process.returncode, out)

    def started(self, source: str, function: str = "f", **arguments: Any) -> subprocess.Popen[str]:
        (self.folder / "mine.py").write_text(source, encoding="utf-8")
        self.result.unlink(missing_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", "gaiaflow.runner", f"mine:{function}"],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": f"{self.folder}{os.pathsep}{TEMPLATE}",
                "GAIAFLOW_ARGUMENTS": json.dumps(arguments),
                "GAIAFLOW_RESULT": str(self.result),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_arguments_in_and_result_out(run: Runner) -> None:
    source = "def f(a, b=2, **rest): return {'sum': a + b, 'rest': rest, 'none': None}"
    done = run(source, a=1, c={"ü": [1.5]})
    assert (done.returncode, done.stdout) == (0, "")
    result = json.loads(run.result.read_text(encoding="utf-8"))
    assert result == {"sum": 3, "rest": {"c": {"ü": [1.5]}}, "none": None}


def test_no_result_is_a_result(run: Runner) -> None:
    assert run("def f(): pass").returncode == 0
    assert run.result.read_text(encoding="utf-8") == "null"


@pytest.mark.parametrize(("code", "ends"), [("", 0), ("0", 0), ("3", 3), ("'no scene'", 1)])
def test_an_exit_ends_the_task_as_it_ends_a_program(run: Runner, code: str, ends: int) -> None:
    done = run(f"import sys\ndef f(): sys.exit({code})")
    assert done.returncode == ends
    assert run.result.exists() == (ends == 0)
    assert ("no scene" in done.stdout) == ("no scene" in code)


def test_mlflow_is_told_which_code_runs(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import json, os\ndef f(): return json.loads(os.environ['MLFLOW_RUN_CONTEXT'])"
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", '{"airflow.dag_id": "d"}')
    monkeypatch.setenv("GAIAFLOW_COMMIT", "c" * 40)  # as the image has them
    monkeypatch.setenv("GAIAFLOW_DIRTY", "true")
    assert run(source).returncode == 0
    tags = {
        "airflow.dag_id": "d",
        "gaiaflow.version": __version__,
        "mlflow.source.git.commit": "c" * 40,
        "mlflow.source.git.dirty": "true",
    }
    assert json.loads(run.result.read_text(encoding="utf-8")) == tags
    monkeypatch.setenv("GAIAFLOW_DIRTY", "")  # git couldn't tell
    assert run(source).returncode == 0
    del tags["mlflow.source.git.dirty"]
    assert json.loads(run.result.read_text(encoding="utf-8")) == tags


def test_output_keeps_its_order(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")  # as the operator does
    source = """
import logging, sys
def f():
    print("one")
    logging.warning("two")
    print("three", end="")
    sys.stderr.write("four\\n")
"""
    done = run(source)
    words = ["one", "WARNING:root:two", "three", "four"]
    assert sorted(words, key=done.stdout.index) == words


def test_what_was_printed_comes_before_the_error(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    done = run("def f():\n    print('before')\n    raise ValueError('no scene')")
    assert done.returncode == FINAL
    assert done.stdout.index("before") < done.stdout.index("ValueError: no scene")


def test_a_traceback_shows_the_users_code_only(run: Runner) -> None:
    done = run("def f():\n    return g()\n\ndef g():\n    raise ValueError('no scene')\n")
    assert done.returncode == FINAL
    assert "runner.py" not in done.stdout
    assert "importlib" not in done.stdout
    assert 'mine.py", line 2, in f' in done.stdout
    assert done.stdout.endswith("ValueError: no scene\n")
    assert not run.result.exists()


def test_a_cause_is_shown_too(run: Runner) -> None:
    source = """
def f():
    try:
        {}["scene"]
    except KeyError as error:
        raise ValueError("no scene") from error
"""
    shown = run(source).stdout
    assert shown.index("KeyError: 'scene'") < shown.index("ValueError: no scene")
    assert "runner.py" not in shown


def test_a_missing_function_is_named(run: Runner) -> None:
    done = run("x = 1", "train")
    assert done.returncode == FINAL
    assert "ImportError: mine has no function 'train'" in done.stdout
    assert str(run.folder / "mine.py") in done.stdout
    assert "mine has no function 'x'" in run("x = 1", "x").stdout


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("def f(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_module_that_does_not_import_is_shown(run: Runner, source: str, says: str) -> None:
    done = run(source)
    assert done.returncode == FINAL
    assert says in done.stdout
    assert 'mine.py", line 1' in done.stdout
    assert "frozen importlib" not in done.stdout


def test_a_wrong_argument_is_named(run: Runner) -> None:
    assert "unexpected keyword argument 'b'" in run("def f(a=1): pass", b=1).stdout


def test_a_result_that_is_no_json_is_one_line(run: Runner) -> None:
    done = run("def f(): return {'model': object()}")
    assert done.returncode == FINAL
    assert done.stdout == (
        "'model' in the result of mine:f is not a JSON value (object). "
        "Keep the data in the object store and pass its key.\n"
    )


# Whether another try can help


@pytest.mark.parametrize(
    ("raised", "ends"),
    [
        ("ValueError('no scene')", FINAL),
        ("type('DataError', (ValueError,), {})('too many clouds')", FINAL),
        ("KeyError('B08')", FINAL),
        ("AssertionError()", FINAL),
        ("ZeroDivisionError()", FINAL),
        ("RuntimeError('CUDA out of memory')", 1),
        ("MemoryError()", 1),
        ("ConnectionResetError()", 1),
        ("TimeoutError()", 1),
        ("FileNotFoundError('scene.tif')", 1),
        ("type('JSONDecodeError', (OSError, ValueError), {})('half an answer')", 1),
        ("Exception('of a library')", 1),
    ],
)
def test_what_another_try_would_repeat_has_its_own_exit_code(
    run: Runner, raised: str, ends: int
) -> None:
    assert run(f"def f(): raise {raised}").returncode == ends


@pytest.mark.parametrize(
    ("cause", "chained", "ends"),
    [
        ("ConnectionError", "from error", 1),
        ("ConnectionError", "", 1),
        ("ConnectionError", "from None", FINAL),
        ("KeyError", "from error", FINAL),
        ("KeyError", "", FINAL),
    ],
)
def test_what_led_to_an_error_counts(run: Runner, cause: str, chained: str, ends: int) -> None:
    source = f"""
def f():
    try:
        raise {cause}
    except {cause} as error:
        raise ValueError("no scene") {chained}
"""
    assert run(source).returncode == ends


def test_a_function_says_itself_that_no_try_helps(run: Runner) -> None:
    assert run(f"import sys\ndef f(): sys.exit({FINAL})").returncode == FINAL


# Its end, when the time is up


def test_a_signal_ends_the_function_and_lets_it_clean_up(run: Runner) -> None:
    source = """
import time
def f():
    try:
        print("at work", flush=True)
        time.sleep(600)
    finally:
        print("cleaned up", flush=True)
"""
    with run.started(source) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60)[0] == "cleaned up\n"
        assert process.returncode == 128 + signal.SIGTERM
    assert not run.result.exists()


@pytest.fixture
def project_runner(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a function of a project in miniature: its folder has the framework."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TEMPLATE / "gaiaflow", tmp_path / "gaiaflow", ignore=ignored)

    def run(source: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "mine.py").write_text(source, encoding="utf-8")
        return subprocess.run(
            [sys.executable, "-m", "gaiaflow.runner", "mine:f"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": "", **env},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    return run


INTO_A_LIBRARY = """
import json

def f():
    text = "no scene"
    return inner(text)

def inner(text):
    return json.loads(text)
"""


def test_an_error_in_a_library_begins_with_ones_own_line(
    project_runner: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = project_runner(INTO_A_LIBRARY)
    first, second, blank, third, *_ = done.stdout.splitlines()
    assert first == "mine.py, line 9: return json.loads(text)"
    assert second == "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"
    assert (blank, third) == ("", "Traceback (most recent call last):")


def test_the_debugger_begins_there_too(
    project_runner: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    command = "p 'the text is ' + text\nq\n"
    done = project_runner(INTO_A_LIBRARY, stdin=command, GAIAFLOW_DEBUG="1")
    assert "mine.py(9)inner()" in done.stdout
    assert "'the text is no scene'" in done.stdout


def test_a_project_beside_it_is_a_library(
    project_runner: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    beside = tmp_path.with_name(f"{tmp_path.name}-2")  # begins like the project's own folder
    beside.mkdir()
    (beside / "theirs.py").write_text("def f():\n    return 1 / 0\n")
    source = "import theirs\ndef f():\n    return theirs.f()\n"
    done = project_runner(source, PYTHONPATH=str(beside))
    assert done.stdout.startswith("mine.py, line 3: return theirs.f()\nZeroDivisionError: ")
