"""The server of warm tasks: what it imports, when it ends, and that edits always count."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from gaiaflow import __version__, warm
from gaiaflow.warm import wire

from .warm import end, make_project, python, server, servers, serving, site, until

FILES = {
    "forest_watch/__init__.py": "",
    "forest_watch/steps.py": """
import importlib, os, time
import early
from typing import TYPE_CHECKING
from . import helpers

if TYPE_CHECKING:
    import not_installed

def own():
    return [helpers.PID, os.getpid()]

def imported():
    late = importlib.import_module("late")  # as libraries do, out of sight
    return [early.PID, late.PID, os.getpid()]

def busy(file):
    with open(file, "w") as pid:
        pid.write(str(os.getpid()))
    while os.path.exists(file):
        time.sleep(0.02)
    return "done"

def mark(file):
    open(file, "w").close()

def chance():
    import random
    return random.random()
""",
    "forest_watch/helpers.py": "import os\nPID = os.getpid()\n",
}
PACKAGES = {
    "early": "import os\nPID = os.getpid()\n",
    "late": "import os\nPID = os.getpid()\n",
    "busybody": """
import threading, time
threading.Thread(target=time.sleep, args=(600,), name="busybody", daemon=True).start()
""",
}
ENV = {"PATH": os.environ["PATH"], "LANG": "C"}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield make_project(tmp_path / "Mein Projekt ü", FILES, PACKAGES)
    end(tmp_path / "Mein Projekt ü")


@pytest.fixture
def project(root: Path) -> Iterator[Path]:
    """A project whose server is ready."""
    with serving(root, ENV):
        yield root


def call(root: Path, reference: str, **arguments: Any) -> Any:
    """Call a function in a fork of the server and return its result."""
    return start(root, reference, **arguments)()


def start(root: Path, reference: str, **arguments: Any) -> Callable[[], Any]:
    """Start a function in a fork of the server; what is returned waits for the result."""
    result = root / f"result-{random.getrandbits(64)}.json"
    variables = {
        "GAIAFLOW_ARGUMENTS": json.dumps(arguments),
        "GAIAFLOW_RESULT": str(result),
        "GAIAFLOW_EDITED": "1",
    }
    read, write = os.pipe()
    task = warm.start(python(root), root, reference, ENV, variables, write)
    os.close(write)
    assert task, "the server refused it"

    def wait() -> Any:
        with os.fdopen(read) as output:
            text = output.read()
        assert task.wait(60) == 0, text
        return json.loads(result.read_text())

    return wait


def test_packages_are_imported_once_and_own_code_in_each_task(project: Path) -> None:
    process = server(project)
    assert process
    early, late, own = call(project, "forest_watch.steps:imported")
    assert early == process.pid
    assert late == own  # nobody knew that it would be needed
    record = project / ".gaiaflow" / "warm.json"
    until(lambda: record.exists() and "late" in record.read_text())
    assert call(project, "forest_watch.steps:imported")[:2] == [process.pid, process.pid]
    helper, own = call(project, "forest_watch.steps:own")
    assert helper == own


def test_a_new_server_knows_what_tasks_needed(project: Path) -> None:
    call(project, "forest_watch.steps:imported")
    until((project / ".gaiaflow" / "warm.json").exists)
    end(project)
    until(lambda: server(project) is None)
    with serving(project, ENV) as process:
        assert call(project, "forest_watch.steps:imported")[:2] == [process.pid] * 2


def test_an_edited_function_is_what_runs(project: Path) -> None:
    """Whatever is edited and however fast: also twice within a second to the same size."""
    chance = random.Random(14)
    files = [project / "forest_watch" / name for name in ("one.py", "two.py", "sub/three.py")]
    files[2].parent.mkdir()
    values = [0, 0, 0]

    def write(which: int) -> None:
        values[which] = chance.randrange(10)
        text = f"VALUE = {values[which]}\n"
        if which == 0:
            text = (
                "from . import two\nfrom .sub import three\n"
                f"def f():\n    return [{values[0]}, two.VALUE, three.VALUE]\n"
            )
        if chance.random() < 0.5:  # as many editors do
            part = files[which].with_suffix(".part")
            part.write_text(text)
            part.replace(files[which])
        else:
            files[which].write_text(text)

    for which in range(3):
        write(which)
    for _ in range(1000):
        write(chance.randrange(3))
        assert call(project, "forest_watch.one:f") == values


def test_a_deleted_module_is_gone_and_a_new_one_is_found(project: Path) -> None:
    new = project / "forest_watch" / "new.py"
    for _ in range(3):
        new.write_text("def f():\n    return 1\n")
        assert call(project, "forest_watch.new:f") == 1
        new.unlink()
        with pytest.raises(AssertionError, match="No module named"):
            call(project, "forest_watch.new:f")


def test_random_numbers_differ(project: Path) -> None:
    assert len({call(project, "forest_watch.steps:chance") for _ in range(5)}) == 5


def test_a_package_that_starts_threads_is_left_to_the_tasks(root: Path) -> None:
    steps = root / "forest_watch" / "steps.py"
    steps.write_text("import busybody\n" + steps.read_text())
    with serving(root, ENV) as process:
        assert process.num_threads() == 1
        assert call(root, "forest_watch.steps:own")
        described = warm.describe(root)
    assert described.startswith("ready; tasks import these themselves: busybody (it starts threads")


def test_the_first_task_does_not_wait_but_starts_the_server(root: Path) -> None:
    assert "with the next task" in warm.describe(root)
    assert warm.start(python(root), root, "forest_watch.steps:own", ENV, {}, 1) is None
    until(lambda: server(root))
    assert warm.describe(root) == "ready"
    assert call(root, "forest_watch.steps:own")


def test_two_servers_never_serve_one_project(root: Path) -> None:
    for _ in range(3):
        assert warm.start(python(root), root, "forest_watch.steps:own", ENV, {}, 1) is None
    process = until(lambda: server(root))
    until(lambda: servers(root) == [process])


def test_a_new_package_ends_the_server_but_not_its_tasks(project: Path, tmp_path: Path) -> None:
    old = server(project)
    file = tmp_path / "pid"
    wait = start(project, "forest_watch.steps:busy", file=str(file))
    until(lambda: file.exists() and file.read_text())
    (site(project) / "early-2.dist-info").mkdir()
    assert warm.start(python(project), project, "forest_watch.steps:own", ENV, {}, 1) is None
    until(lambda: server(project) is None)
    assert warm.start(python(project), project, "forest_watch.steps:own", ENV, {}, 1) is None
    new = until(lambda: server(project))
    assert new != old
    assert old
    assert old.is_running()
    os.kill(int(file.read_text()), signal.SIGKILL)
    with pytest.raises(AssertionError, match="-9"):
        wait()
    old.wait(10)


def test_a_task_with_other_variables_is_a_process(project: Path) -> None:
    other = {**ENV, "OMP_NUM_THREADS": "1"}
    assert warm.start(python(project), project, "forest_watch.steps:own", other, {}, 1) is None
    assert server(project)


def test_an_idle_server_ends(root: Path) -> None:
    program = root / "gaiaflow" / "warm" / "server.py"
    text = program.read_text()
    assert "IDLE = 600.0" in text
    program.write_text(text.replace("IDLE = 600.0", "IDLE = 3.0"))
    with serving(root, ENV) as process:
        process.wait(60)


def test_tasks_survive_their_server(project: Path, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    wait = start(project, "forest_watch.steps:busy", file=str(file))
    until(lambda: file.exists() and file.read_text())
    process = server(project)
    assert process
    process.kill()
    process.wait(10)
    file.unlink()
    assert wait() == "done"


def test_a_client_that_stopped_waiting_runs_nothing(project: Path, tmp_path: Path) -> None:
    """It runs the function as a process instead: twice would be wrong."""
    file = tmp_path / "file"
    request = {
        "version": __version__,
        "reference": "forest_watch.steps:mark",
        "env": ENV,
        "call": {"GAIAFLOW_ARGUMENTS": json.dumps({"file": str(file)})},
    }
    with wire.connect(project) as connection:
        wire.send_request(connection, request, 1)
        task = psutil.Process(wire.receive(connection)["pid"])
    task.wait(10)
    assert not file.exists()


@pytest.mark.parametrize("sent", [b"", b"\n", b"\n[]\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_nonsense_does_not_hurt_the_server(project: Path, sent: bytes) -> None:
    with wire.connect(project) as connection:
        connection.sendall(sent)
    assert call(project, "forest_watch.steps:own")


def test_another_users_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.geteuid()
    here, there = socket.socketpair()
    with here, there:
        wire._check_user(here)
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)
        with pytest.raises(PermissionError, match=f"the user with the id {user}"):
            wire._check_user(here)


def test_the_server_keeps_nothing_of_its_tasks(project: Path) -> None:
    process = server(project)
    assert process
    call(project, "forest_watch.steps:imported")
    call(project, "forest_watch.steps:own")
    until(lambda: not process.children())
    before, memory = process.num_fds(), process.memory_info().rss
    for _ in range(100):
        call(project, "forest_watch.steps:own")
    until(lambda: not process.children() and process.num_fds() == before)
    assert process.memory_info().rss < memory * 1.05


def test_many_tasks_at_once(project: Path) -> None:
    """Tasks end while others begin."""

    def some(_: int) -> list[Any]:
        return [call(project, "forest_watch.steps:own") for _ in range(50)]

    with ThreadPoolExecutor(8) as pool:
        found = [pair for pairs in pool.map(some, range(8)) for pair in pairs]
    assert all(helper == own for helper, own in found)
