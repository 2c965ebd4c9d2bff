"""A temporary folder with all that benchmarks need, made when first asked for, gone at the end.

Every process that is started from here carries a mark in its environment, as do its children: so
all are found again, however they were left, and nobody else's are touched.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import psutil
from plumbum import ProcessExecutionError, local
from plumbum.commands import BaseCommand

from benchmarks.common import CannotMeasure, say

REPOSITORY = Path(__file__).resolve().parents[1]
MARK = "GAIAFLOW_BENCHMARK"
GIB = 2**30
PACKAGE = "bench_project"

# What would make the measured programs behave differently from those of a user.
_FOREIGN = ("AIRFLOW_", "AIRFLOW__", "AWS_", "COPIER_", "GAIAFLOW_", "MLFLOW_", "S3_")
_MISLEADING = {"PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"}
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Workshop:
    """The place where a run of the benchmarks happens; use it as a context manager."""

    def __init__(self) -> None:
        self._projects: list[Path] = []

    def __enter__(self) -> Workshop:
        self.root = Path(tempfile.mkdtemp(prefix="gaiaflow-benchmark-")).resolve()
        for name in local.env.getdict():
            if name in _MISLEADING or name.startswith(_FOREIGN):
                del local.env[name]
        local.env[MARK] = str(self.root)
        local.env["SPT_NOENV"] = "1"  # else setproctitle wipes the environment and the mark with it
        return self

    def __exit__(self, *_: object) -> None:
        for name in _SIGNALS:
            signal.signal(name, signal.SIG_IGN)  # cleaning up takes seconds, and must end
        say("Cleaning up")
        for project in self._projects:
            if not (project / ".gaiaflow" / "run").exists():
                continue  # never started: to stop it would first make Airflow's environment
            with contextlib.suppress(ProcessExecutionError, OSError):
                self.manage(project, "stop")
        self.end_marked()
        shutil.rmtree(self.root, ignore_errors=True)
        if self.root.exists():
            say(f"This could not be removed: {self.root}")

    # --- programs ----------------------------------------------------------------------------

    @cached_property
    def uv(self) -> str:
        """The path of uv: on PATH, or beside the running Python."""
        found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
        if not found:
            raise CannotMeasure("uv was not found. Install it: `pip install uv`")
        return found

    def tool(self, name: str) -> BaseCommand:
        """A program of an environment with what the template requires, and cookiecutter."""
        return local[str(self._tools / name)]

    @cached_property
    def _tools(self) -> Path:
        say("Making an environment with Copier and cookiecutter")
        requirements = ["-r", str(REPOSITORY / "pyproject.toml"), "cookiecutter"]
        return self.environment("tools", *requirements) / "bin"

    def environment(self, name: str, *requirements: str) -> Path:
        """Make a virtual environment with compiled packages."""
        prefix = self.root / name
        python = str(prefix / "bin" / "python")
        install = ["pip", "install", "--quiet", "--compile-bytecode", "--python", python]
        try:
            local[self.uv]("venv", "--quiet", "--python", sys.executable, str(prefix))
            local[self.uv](*install, *requirements)
        except ProcessExecutionError as error:
            raise CannotMeasure(
                f"The environment {name!r} could not be made; is the network there?\n{error.stderr}"
            ) from None
        return prefix

    # --- the template and its projects -------------------------------------------------------

    @cached_property
    def template(self) -> Path:
        """The working tree of this repository as it is now, as a git repository of its own."""
        git = local["git"]["-C", str(REPOSITORY)]
        listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        target = self.root / "template"
        for name in filter(None, listed.split("\0")):
            source = REPOSITORY / name
            if source.is_file():  # listed, and not deleted
                copy(source, target / name)
        return commit(target)

    def generate(self, name: str, setup: str = "none") -> Path:
        """Generate a project as a user does who takes the defaults."""
        project = self.root / name
        self._projects.append(project)
        answers = ["-d", "project_name=Benchmark", "-d", f"package_name={PACKAGE}"]
        options = ["copy", "--quiet", "--trust", "--defaults", *answers, "-d", f"setup={setup}"]
        self.tool("copier")(*options, str(self.template), str(project))
        return project

    @cached_property
    def project(self) -> Path:
        """A warm project: its environments are made, and it has been up before."""
        say("Making a project with its environments, and starting it once")
        project = self.generate("project")
        try:
            self.manage(project, "deps")
            self.manage(project, "start")
            self.manage(project, "stop")
        except ProcessExecutionError as error:
            raise CannotMeasure(f"The project does not start.\n{error.stderr}") from None
        return project

    def airflow(self, program: str) -> str:
        """A program of the project's Airflow environment."""
        return str(self.project / ".gaiaflow" / "airflow" / "bin" / program)

    def manage(self, project: Path, *arguments: str) -> str:
        """Run a command of the project's manager; returns what it prints as its result."""
        return str(self.tool("python")(str(project / "mlops_manager.py"), *arguments))

    @contextlib.contextmanager
    def running(self) -> Iterator[Path]:
        """The warm project while all of its services run."""
        self.manage(self.project, "start")
        try:
            yield self.project
        finally:
            self.manage(self.project, "stop")

    # --- processes ---------------------------------------------------------------------------

    def adopt(self, project: Path) -> None:
        """Stop this project, too, at the end."""
        self._projects.append(project)

    def end_marked(self) -> None:
        """End all processes that were started from here, and wait until they are gone."""
        for end in (psutil.Process.terminate, psutil.Process.kill, psutil.Process.kill):
            found = marked(MARK, str(self.root))
            for process in found:
                with contextlib.suppress(psutil.Error):
                    end(process)
            psutil.wait_procs(found, timeout=5)
            if not found:
                return
            time.sleep(0.2)


def marked(name: str, value: str) -> list[psutil.Process]:
    """All processes that have this variable in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(name) == value and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def pss(processes: Iterable[psutil.Process]) -> float:
    """What processes have in memory, in GiB: a page that several share counts once."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / GIB


def commit(folder: Path) -> Path:
    """Make a folder a git repository with one commit and one tag."""
    git = local["git"][
        "-C", str(folder), "-c", "user.name=Benchmark", "-c", "user.email=b@localhost"
    ]
    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all", "--force")
    git("-c", "commit.gpgsign=false", "commit", "--quiet", "--no-verify", "--message=benchmark")
    git("tag", "v0.1.0")
    return folder


def copy(source: Path, target: Path) -> None:
    """Copy a file, and make the folders that it lies in."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
