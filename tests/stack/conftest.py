"""One generated project with running services, shared by all tests of this folder.

Whatever a test does to them, the services are stopped at the end and nothing of them is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from uv import find_uv_bin

from tests.conftest import share_services
from tests.receiver import REFUSED, Receiver, receiving

HERE = Path(__file__).resolve().parent
LIMIT = 600  # seconds that a command may take; much less on a quiet machine
SERVICES = {
    "airflow-api-server",
    "airflow-scheduler",
    "airflow-dag-processor",
    "mlflow",
    "object-store",
    "jupyterlab",
}
PORTS = (
    *("AIRFLOW_PORT", "MLFLOW_PORT", "JUPYTER_PORT", "MAPS_PORT", "SERVING_PORT"),
    "OBJECT_STORE_PORT",
)

# Modules in the order in which they leave the shared services as they are, hurt, or end them.
ORDER = (
    "test_pipeline",
    "test_services",
    "test_other_users",
    "test_dags",
    "test_warm",
    "test_inner_loop",
    "test_additions",
    "test_generated",
    "test_maps",
    "test_serving",
    "test_approval",
    "test_archive",
    "test_segmentation",
    "test_modes",
    "test_deploy",
    "test_rehearsal",
    "test_update",
    "test_wrong_use",
    "test_fresh_clone",
    "test_two_projects",
    "test_older_databases",
    "test_crash",
    "test_stop",
    "test_documentation",
)

# README's project has the default ports, as one in tests/containers has: one after the other.
GROUPS = {"test_modes": "modes", "test_documentation": "containers"}


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    share_services(items, HERE, ORDER, GROUPS)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


# What other projects have left in a person's shell. Each alone would end a service, a task or an
# installation, or send it somewhere else.
FOREIGN = {
    "AIRFLOW_CONFIG": "/nowhere/airflow.cfg",
    "AIRFLOW__CORE__AUTH_MANAGER": "nowhere.AuthManager",
    "AWS_DEFAULT_PROFILE": "nobody",
    "AWS_NO_SIGN_REQUEST": "YES",
    "GDAL_DATA": "/nowhere",
    "GDAL_SKIP": "GTiff",
    "GIT_DIR": "/nowhere",
    "JUPYTER_CONFIG_DIR": "/nowhere",
    "JUPYTERLAB_DIR": "/nowhere",
    "MLFLOW_EXPERIMENT_ID": "4711",
    "MLFLOW_REGISTRY_URI": "sqlite:////nowhere/registry.db",
    "MPLBACKEND": "TkAgg",
    "PROJ_DATA": "/nowhere",
    "PYTHONSAFEPATH": "1",
    "PYTHONWARNINGS": "error",
    "UV_FROZEN": "1",
    "WEB_CONCURRENCY": "2",
}


def person(**changes: str) -> dict[str, str]:
    """The environment of a person's shell, without what only this test run has set."""
    ours = ("COPIER_", "COVERAGE_", "GAIAFLOW_", "PYTEST_", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "TERM": "dumb", **changes}


def execute(
    *command: str | Path, cwd: Path, env: dict[str, str] | None = None, limit: float = LIMIT
) -> Done:
    """Run a program to its end, without a terminal; never raises because it failed."""
    # Not by plumbum, which adds an environment to that of this process.
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=env or person(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def as_in_a_terminal() -> None:
    """Let signals through that a background job of a shell, or nohup, would ignore."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def wait_for(what: Callable[[], Any], limit: float = 180) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + limit
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {limit} s"
        time.sleep(0.05)
    return found


def has_ended(process: psutil.Process) -> bool:
    """Whether a process has ended, although init may leave its entry for a while."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass(frozen=True)
class Project:
    """A generated project and its commands."""

    root: Path

    def manage(
        self, *arguments: str, python: str | Path = sys.executable, **environment: str
    ) -> Done:
        """Run `python3 mlops_manager.py ARGUMENTS`."""
        script = self.root / "mlops_manager.py"
        # From elsewhere: a command must not depend on the current directory.
        env = person(**{**FOREIGN, **environment})
        return execute(python, script, *arguments, cwd=HERE, env=env)

    @contextlib.contextmanager
    def in_background(self, *arguments: str) -> Iterator[psutil.Popen]:
        """The same, while the test goes on."""
        command = [sys.executable, str(self.root / "mlops_manager.py"), *arguments]
        log = (self.root.parent / "background.log").open("w")
        process = psutil.Popen(
            command,
            env=person(**FOREIGN),
            stdout=log,
            stderr=log,
            preexec_fn=as_in_a_terminal,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def probe(self, name: str, *arguments: str, cwd: Path | None = None, **environment: str) -> Any:
        """Run a program of probes/ in the project's own environment; the JSON that it prints."""
        script = HERE / "probes" / f"{name}.py"
        command: list[str | Path] = [self.python, script, self.root, *arguments]
        done = execute(*command, cwd=cwd or self.root, env=person(**environment))
        assert done.code == 0, done
        return json.loads(done.out.splitlines()[-1])

    @property
    def python(self) -> Path:
        return self.root / ".venv" / "bin" / "python"

    @property
    def env_file(self) -> Path:
        return self.root / ".env"

    @property
    def env(self) -> dict[str, str]:
        text = self.env_file.read_text(encoding="utf-8")
        return dict(re.findall(r"(?m)^(\w+)=(.*)$", text))

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self.env[port]}"

    def set_ports(self, first: int) -> None:
        """Use a block of ports from here on."""
        text = self.env_file.read_text(encoding="utf-8")
        for index, name in enumerate(PORTS):
            text = re.sub(rf"(?m)^{name}=.*$", f"{name}={first + index}", text)
        text = re.sub(r"(?m)^SERVICES_PORT=.*$", f"SERVICES_PORT={first + 10}", text)
        self.env_file.write_text(text, encoding="utf-8")

    def ports(self) -> list[int]:
        """All ports that are ours to listen on, but for those of services on demand."""
        first = {name: int(self.env[name]) for name in PORTS}
        store = range(first["OBJECT_STORE_PORT"], first["OBJECT_STORE_PORT"] + 5)
        own = (first[name] for name in ("AIRFLOW_PORT", "MLFLOW_PORT", "JUPYTER_PORT"))
        return [*own, *store, *(port + 10000 for port in store)]

    def status(self) -> dict[str, dict[str, Any]]:
        """What `status --json` says, by service."""
        return {item["service"]: item for item in self.manage("status", "--json").json()}

    def pids(self) -> dict[str, int]:
        return {name: item["pid"] for name, item in self.status().items()}

    def leader(self, name: str) -> psutil.Process:
        """The process that a service was started as."""
        pid = self.pids()[name]
        assert pid, f"{name} is not running"
        return psutil.Process(pid)

    def processes(self) -> list[psutil.Process]:
        """Every process of this machine that works for the project."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if process.environ().get("GAIAFLOW_PROJECT") == str(self.root):
                    found.append(process)
        return found

    def kill(self) -> None:
        """Kill all of them."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended with its parent
                process.kill()

    def command_lines(self) -> list[str]:
        """What others see of them in a list of processes."""
        lines = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):  # it has ended, such as one that reads a DAG
                lines.append(" ".join(process.cmdline()))
        return lines

    def tasks(self) -> list[psutil.Process]:
        """The processes of running tasks: new ones, or forks of the server of warm tasks."""

        def command(process: psutil.Process | None) -> list[str]:
            with contextlib.suppress(psutil.Error):
                return process.cmdline() if process else []
            return []

        def is_fork(process: psutil.Process) -> bool:
            with contextlib.suppress(psutil.Error):
                return "gaiaflow.warm" in command(process) and "gaiaflow.warm" in command(
                    process.parent()
                )
            return False

        found = self.processes()
        return [task for task in found if "gaiaflow.runner" in command(task) or is_fork(task)]

    def assert_nothing_is_left(self) -> None:
        left = [(process.pid, process.cmdline()) for process in self.processes()]
        assert left == []
        sockets = [f"seaweedfs-*-grpc-{port}.sock" for port in self.ports()]
        assert [path for name in sockets for path in Path("/tmp").glob(name)] == []
        assert [port for port in self.ports() if listens(port)] == []

    def assert_all_is_healthy(self) -> None:
        """Fail unless they are, or soon: on a busy machine an answer may be late for one look."""
        healthy = dict.fromkeys(SERVICES, "healthy")
        wait_for(lambda: {name: it["state"] for name, it in self.status().items()} == healthy)


def run_block(project: Project, commands: str, env: dict[str, str]) -> Done:
    """Run a block of the documentation in a project's folder, as somebody who reads it.

    `# .env: NAME=value` is done too.
    """
    for name, value in re.findall(r"(?m)^# \.env: (\w+)=(.*)$", commands):
        text = re.sub(rf"(?m)^{name}=.*\n", "", project.env_file.read_text(encoding="utf-8"))
        project.env_file.write_text(f"{text}{name}={value}\n", encoding="utf-8")
    return execute("bash", "-e", "-c", commands, cwd=project.root, env=env)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_block() -> int:
    """The first of 15 free ports: 10 in a row, and the last 5 once more 10000 higher."""

    def free(port: int) -> bool:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True

    # Two test runs side by side have neighbouring process ids: keep their blocks apart.
    for first in range(11000 + os.getpid() * 97 % 300 * 20, 20000, 20):
        block = [*range(first, first + 10), *range(first + 10005, first + 10010)]
        if all(map(free, block)):
            return first
    pytest.fail("this machine has no block of free ports")


# --- Fixtures ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def uv(tmp_path_factory: pytest.TempPathFactory) -> str:
    """uv, on a machine where it can fetch packages."""
    uv = find_uv_bin()
    here = tmp_path_factory.mktemp("index")
    install = ("pip", "install", "--no-cache", "--no-deps", "--target", here, "iniconfig")
    done = execute(uv, *install, cwd=here)
    if done.code:
        pytest.skip(f"packages cannot be fetched here: {done.err.strip().splitlines()[-1]}")
    return uv


Generate = Callable[..., tuple[Project, Done]]


@pytest.fixture(scope="session")
def generate(
    uv: str, copier_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Generate]:
    """Make a project with `copier copy`, in a folder whose name has more than letters."""
    # A test run that is ended (by CI, say) stops its services too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    made: list[Project] = []

    def generate(name: str, **answers: str) -> tuple[Project, Done]:
        project = Project(tmp_path_factory.mktemp("stack") / f"Größere {name}?")
        made.append(project)
        answers = {"project_name": name, "setup": "none", **answers}
        data = [f"--data={key}={value}" for key, value in answers.items()]
        copy = ("-m", "copier", "copy", "--trust", "--defaults", "--vcs-ref=HEAD", *data)
        done = execute(sys.executable, *copy, copier_template, project.root, cwd=HERE)
        assert done.code == 0, done
        return project, done

    yield generate
    for project in made:
        with contextlib.suppress(Exception):
            project.manage("stop")
        project.kill()


@pytest.fixture(scope="session")
def told() -> Iterator[Receiver]:
    """What the people in NOTIFY_URLS are told."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def stack(generate: Generate, told: Receiver) -> Project:
    """The project of all tests, with its services up."""
    project, _ = generate("Wälder und Seen", package_name="forest_watch")
    project.set_ports(free_block())
    text = project.env_file.read_text(encoding="utf-8")
    urls = f"NOTIFY_URLS={told.url} {told.url}{REFUSED}\n"  # the second server refuses all
    project.env_file.write_text(text.replace("NOTIFY_URLS=\n", urls), encoding="utf-8")
    started = project.manage("start")
    assert started.code == 0, started
    return project


# What tests of rasters and archives need beside the project's packages: a judge, and a STAC API.
JUDGES = ("rio-cogeo>=7", "rustac>=0.9")


@pytest.fixture(scope="session")
def judged(stack: Project) -> Project:
    """The same, with these packages in its environment."""
    install = (find_uv_bin(), "pip", "install", "--quiet", "--python", stack.python, *JUDGES)
    done = execute(*install, cwd=stack.root)
    assert done.code == 0, done
    return stack


@pytest.fixture
def running(stack: Project) -> Project:
    """The same, whatever the test before has done to it."""
    started = stack.manage("start")
    assert started.code == 0, started
    return stack


@pytest.fixture
def clone(stack: Project, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    """The project as a colleague gets it: from git, on another machine."""
    project = Project(tmp_path / "Kopie von Jörg")
    done = execute("git", "clone", "--quiet", stack.root, project.root, cwd=tmp_path)
    assert done.code == 0, done
    yield project
    project.kill()
