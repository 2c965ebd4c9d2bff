"""`new`, `remove`, services of one's own, and completion of all their names in real shells."""

from __future__ import annotations

import re
import select
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest
from ptyprocess import PtyProcess

from .conftest import Project, execute, person
from .test_services import ask, log_in

NAMES = {"dag": "lakes", "task": "preprocess.clouds", "notebook": "look", "service": "board"}
MINE = "forest_watch/train/lakes.py"


@pytest.fixture(scope="module")
def added(stack: Project) -> Iterator[Project]:
    started = stack.manage("start")
    assert started.code == 0, started
    for kind, name in NAMES.items():
        done = stack.manage("new", kind, name)
        assert done.code == 0, done
        for path in done.out.splitlines():
            assert (stack.root / path).is_file()
    stored = stack.manage("put", str(stack.root / "README.md"), "lakes/README.md", "--force")
    assert stored.code == 0, stored
    yield stack
    stack.manage("stop", "--service", "board")
    for kind, name in NAMES.items():
        stack.manage("remove", kind, name)


def test_a_new_dag_and_a_new_task_run(added: Project) -> None:
    done = added.manage("run", "lakes")
    assert done.code == 0, done
    assert "lakes is green after" in done.out
    called = added.manage("call", "forest_watch.preprocess.clouds:clouds", "red=0.2", "nir=0.6")
    assert called.json() == {"ndvi": 0.5}


def test_a_new_notebook_runs(added: Project) -> None:
    assert added.probe("notebook", "look.ipynb") > 2


def test_a_new_service_runs(added: Project) -> None:
    started = added.manage("start", "--service", "board")
    assert started.code == 0, started
    state = added.status()["board"]
    assert (state["state"], state["url"]) == ("healthy", added.url("SERVICES_PORT") + "/")
    assert ask(state["url"])[0] == 401  # other users of this computer can reach it
    code, body = ask(state["url"], **log_in(added))
    assert code == 200 and b"<li>lakes/</li>" in body  # from the object store
    assert added.manage("logs", "board").code == 0
    opened = added.manage("open", "board", BROWSER="true")
    assert opened.code == 0 and state["url"] in opened.out, opened
    stopped = added.manage("stop", "--service", "board")
    assert stopped.code == 0, stopped
    assert added.status()["board"]["state"] == "stopped"


def test_a_service_that_fails_says_why(added: Project) -> None:
    broken = added.root / "services" / "broken.py"
    broken.write_text("raise SystemExit('no data yet')\n", encoding="utf-8")
    try:
        done = added.manage("start", "--service", "broken")
        assert done.code == 1
        assert "error: broken: it ended with exit code 1\nno data yet" in done.err
        broken.rename(broken.with_name("mlflow.py"))
        done = added.manage("start")
        assert done.code == 1
        assert "services/mlflow.py: mlflow is the name of another service" in done.err
        assert added.manage("status").code == 0
    finally:
        for file in (broken, broken.with_name("mlflow.py")):
            file.unlink(missing_ok=True)


@pytest.mark.parametrize(
    "command", ["ruff check", "ruff format --check", pytest.param("mypy", marks=pytest.mark.slow)]
)
def test_checks_of_what_is_new(added: Project, command: str) -> None:
    tool, *options = command.split()
    done = execute(added.python.with_name(tool), *options, cwd=added.root)
    assert done.code == 0, done


@pytest.mark.slow
def test_tests_of_what_is_new(added: Project) -> None:
    tests = ("tests/test_lakes.py", "tests/test_preprocess_clouds.py", "tests/test_dags.py")
    options = ("-q", "-p", "no:cacheprovider")
    done = execute(added.python, "-m", "pytest", *options, *tests, cwd=added.root)
    assert done.code == 0, done


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("dag", "lakes"), "dags/lakes.py already has the DAG lakes"),
        (("tag", "lakes"), "There is no kind 'tag'. Did you mean dag?"),
        (("example", "landcover_bath"), "Did you mean landcover_batch?"),
        (("example", "landcover"), "dags/landcover.py exists"),
        (("task", "Clouds"), "'Clouds' can't be the name of a task"),
    ],
)
def test_what_new_refuses(added: Project, arguments: tuple[str, ...], said: str) -> None:
    before = execute("git", "status", "--porcelain", cwd=added.root).out
    done = added.manage("new", *arguments)
    assert done.code in (1, 2) and said in done.err, done
    assert execute("git", "status", "--porcelain", cwd=added.root).out == before


def test_an_example_for_a_project_without(stack: Project, tmp_path: Path) -> None:
    """Projects that were made before it, or without examples, get it from their own release."""
    bare = Project(tmp_path / "Ohne Beispiel")
    done = execute("git", "clone", "--quiet", stack.root, bare.root, cwd=tmp_path)
    assert done.code == 0, done
    shutil.copytree(stack.root / ".gaiaflow" / "airflow", bare.root / ".gaiaflow" / "airflow")
    left_out = [*bare.root.glob("dags/landcover_*"), *bare.root.glob("forest_watch/predict/b*.py")]
    for file in left_out:
        file.unlink()
    done = bare.manage("new", "example", "landcover_batch")
    assert done.code == 0, done
    assert set(done.out.split()) == {"dags/landcover_batch.py", "forest_watch/predict/batch.py"}
    for path in done.out.split():
        assert (bare.root / path).read_bytes() == (stack.root / path).read_bytes()
    older = bare.root / "forest_watch" / "predict" / "scene.py"
    older.write_text("# of another time\n", encoding="utf-8")
    assert bare.manage("remove", "example", "landcover_batch").code == 0
    done = bare.manage("new", "example", "landcover_batch")
    assert done.code == 1
    assert re.search(r"(?m)^    forest_watch/predict/scene\.py: \w+", done.err), done
    assert not (bare.root / "dags" / "landcover_batch.py").exists()


# --- Completion ----------------------------------------------------------------------------------

SHELLS = {
    "bash": ("--norc", "--noprofile", "-i"),
    "zsh": ("-f", "-i"),
    "fish": ("--no-config", "--private", "-i"),
}
LINES = {
    "./mlops_manager.py sto": "./mlops_manager.py stop",
    "python3 mlops_manager.py run lak": "python3 mlops_manager.py run lakes",
    "python3 mlops_manager.py run lakes --from summ": "run lakes --from summarize",
    "python3 mlops_manager.py call forest_watch.train.lakes:tr": "forest_watch.train.lakes:train",
    "python3 mlops_manager.py start --service boa": "start --service board",
    "python3 mlops_manager.py get lak": "get lakes/",
    "python3 -c 'print(1)' READ": "'print(1)' README.md",  # the shell's own
}


class Terminal:
    """A shell in a terminal, and what that shows."""

    def __init__(self, shell: str, project: Project, home: Path) -> None:
        # For xterm, fish asks the terminal what it can do, and waits for the answer.
        env = person(HOME=str(home), PS1="> ", TERM="dumb" if shell == "bash" else "linux")
        command = [shell, *SHELLS[shell]]
        self._shell = PtyProcess.spawn(command, str(project.root), env, dimensions=(40, 200))
        self._screen = pyte.Screen(200, 40)
        self._stream = pyte.ByteStream(self._screen)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._shell.terminate(force=True)

    def type(self, keys: str) -> None:
        self._shell.write(keys.encode())

    def wait_for(self, text: str, shown: bool = True) -> None:
        """Wait until the line with the cursor has this text, or has it no longer."""
        deadline = time.monotonic() + 60
        while (text in self._screen.display[self._screen.cursor.y]) != shown:
            assert time.monotonic() < deadline, "\n".join(self._screen.display).rstrip()
            if select.select([self._shell.fd], [], [], 0.2)[0]:
                self._stream.feed(self._shell.read())


@pytest.mark.parametrize("shell", SHELLS)
def test_completion(added: Project, shell: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    printed = added.manage("completion", shell)
    assert printed.code == 0, printed
    (tmp_path / "script").write_text(printed.out, encoding="utf-8")
    with Terminal(shell, added, tmp_path) as terminal:
        terminal.type(f"source {tmp_path}/script\r")
        for line, completed in LINES.items():
            terminal.type(f"{line}\t")
            terminal.wait_for(completed)
            terminal.type("\x15")  # Ctrl-U: delete the line
            terminal.wait_for(completed, shown=False)


def test_completion_in_a_fresh_clone_installs_nothing(clone: Project) -> None:
    done = clone.manage("completion", "--words=./mlops_manager.py sta")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert not (clone.root / ".gaiaflow").exists()
