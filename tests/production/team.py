"""A team's Airflow: DAGs from branches of the projects' repositories, pods in its own cluster."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from benchmarks.airflow_api import AirflowApi
from tests.conftest import ROOT
from tests.stack.conftest import execute, free_block, person, wait_for

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
TRIGGERS = ROOT / "template" / "dockerfiles" / "airflow"
LIMIT = 180.0  # seconds, for what takes a few on a quiet machine


class Repository:
    """A project's repository: a clone that somebody works in, and the remote that Airflow reads."""

    def __init__(self, name: str, root: Path, remotes: Path, python: Path) -> None:
        self.name = name
        self.root = root
        self.remote = remotes / f"{name}.git"
        self._python = python
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.remote))
        self.git("remote", "add", "origin", str(self.remote))

    def git(self, *arguments: str) -> str:
        done = execute("git", "-C", self.root, *arguments, cwd=self.root)
        assert done.code == 0, done
        return done.out.strip()

    def write_dags(self, *texts: str) -> None:
        """Replace the DAG files by these."""
        for file in (self.root / "dags").glob("*.py"):
            file.unlink()
        for number, text in enumerate(texts):
            (self.root / "dags" / f"{self.name}_{number}.py").write_text(text, encoding="utf-8")

    def push(self, message: str) -> str:
        """Commit everything and push it; the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD")

    def release(self, tag: str, image: str) -> str:
        """Push, tag and deploy; the commit that production gets."""
        self.push(tag)
        self.git("tag", tag)
        self.git("push", "--quiet", "origin", tag)
        self._branches(f"stage({tag!r}, {image!r})")
        return self.move_prod()

    def move_prod(self, *commit: str) -> str:
        return self._branches(f"move_prod{commit!r}")

    def _branches(self, call: str) -> str:
        code = "import pathlib; from gaiaflow.release.branches import Branches; "
        code += (
            "from gaiaflow.release.git import Git; branches = Branches(Git(pathlib.Path.cwd())); "
        )
        code += f"print(branches.{call}.after.commit)"
        done = execute(self._python, "-c", code, cwd=self.root)
        assert done.code == 0, done
        return done.out.strip()


def bundle(repository: Repository, branch: str) -> dict[str, Any]:
    """Airflow's setting for the DAGs of a repository."""
    kwargs = {"repo_url": str(repository.remote), "tracking_ref": branch, "refresh_interval": 3}
    classpath = "airflow.providers.git.bundles.git.GitDagBundle"
    return {"name": repository.name, "classpath": classpath, "kwargs": kwargs}


class TeamAirflow:
    """Airflow from the lock for production, as processes of this machine.

    Args:
        home: a folder for its files.
        environment: what `make_environment` has made.
        bundles: its DAG bundles.
        api: host and port of the cluster's API, as a pod finds them.
        slots: how many tasks may have a pod, as in deploy/airflow/values.yaml.
        parallelism: processes of tasks at once.
        settings: more environment variables.
    """

    def __init__(
        self,
        home: Path,
        environment: Path,
        bundles: list[dict[str, Any]],
        api: tuple[str, str],
        slots: int = 128,
        parallelism: int = 2,
        **settings: str,
    ) -> None:
        home.mkdir()
        self.home = home
        self._airflow = environment / "bin" / "airflow"
        self._port = free_block()
        password = secrets.token_hex()
        login = {"AIRFLOW_PORT": self._port, "AIRFLOW_USER": "admin", "AIRFLOW_PASSWORD": password}
        text = "".join(f"{name}={value}\n" for name, value in login.items())
        (home / ".env").write_text(text, encoding="utf-8")
        self._env = person(
            PATH=f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
            AIRFLOW_HOME=str(home),
            AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH=str(home / "bundles"),
            PYTHONPATH=str(TRIGGERS),  # where Airflow's image has it
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            AIRFLOW__CORE__EXECUTOR="LocalExecutor",
            AIRFLOW__CORE__PARALLELISM=str(parallelism),
            AIRFLOW__CORE__AUTH_MANAGER=(
                "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
            ),
            AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"http://127.0.0.1:{self._port}/execution/",
            AIRFLOW__API__PORT=str(self._port),
            AIRFLOW__API__HOST="127.0.0.1",
            AIRFLOW__API__WORKERS="1",
            AIRFLOW__API__SECRET_KEY=secrets.token_hex(),
            AIRFLOW__API_AUTH__JWT_SECRET=secrets.token_hex(),
            AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME="0.2",
            AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT=str(self._port + 1),
            AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=str(self._port + 2),
            AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=json.dumps(bundles),
            AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL="1",
            KUBERNETES_SERVICE_HOST=api[0],
            KUBERNETES_SERVICE_PORT=api[1],
            GAIAFLOW_MODE="prod",
            MLFLOW_TRACKING_URI="http://mlflow:5000",
            **settings,
        )
        self._password = password
        self._slots = slots
        self._processes: dict[str, psutil.Process] = {}
        self.api: AirflowApi

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self._run("db", "migrate")
        names = ("--firstname=A", "--lastname=B", "--email=a@b.org", "--role=Admin")
        self._run("users", "create", "--username=admin", f"--password={self._password}", *names)
        self._run("pools", "set", "default_pool", str(self._slots), "pods", "--include-deferred")
        with contextlib.ExitStack() as stack:
            for name in COMPONENTS:
                stack.enter_context(self._process(name))
            wait_for(self._answers, LIMIT)
            self.api = AirflowApi(self.home)
            yield

    def _run(self, *arguments: str) -> None:
        done = execute(self._airflow, *arguments, cwd=self.home, env=self._env)
        assert done.code == 0, done

    @contextlib.contextmanager
    def _process(self, name: str) -> Iterator[None]:
        log = (self.home / f"{name}.log").open("w")
        process = subprocess.Popen(
            [self._airflow, name],
            cwd=self.home,
            env=self._env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._processes[name] = psutil.Process(process.pid)
        try:
            yield
        finally:
            process.terminate()
            # A scheduler first waits for the tasks that it runs itself, however long they take.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)

    def _answers(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self._port}/api/v2/monitor/health"
            with urllib.request.urlopen(url, timeout=5) as answer:
                states = json.loads(answer.read())
        except OSError:
            return False
        parts = ("scheduler", "dag_processor", "triggerer")
        return all(states.get(part, {}).get("status") == "healthy" for part in parts)

    def wait_for_dag(self, dag: str, commit: str | None = None) -> None:
        """Wait until a DAG is there, and from this commit."""

        def comes() -> bool:
            dags = self.api.get(f"/dags?dag_id_pattern={dag}")["dags"]
            return any(commit in {None, item["bundle_version"]} for item in dags)

        self.wait_for(comes)

    def trigger(self, dag: str) -> str:
        self.api.patch(f"/dags/{dag}", {"is_paused": False})
        run = self.api.post(f"/dags/{dag}/dagRuns", {"logical_date": None})
        return str(run["dag_run_id"])

    def wait_for_tasks(self, dag: str, run: str, state: str) -> list[dict[str, Any]]:
        """Wait until a task is in this state; all of the run's tasks."""

        def found() -> list[dict[str, Any]]:
            tasks = self.tasks(dag, run)
            states = {task["state"] for task in tasks}
            assert state == "failed" or "failed" not in states, self.home
            return tasks if state in states else []

        return list(self.wait_for(found))

    def states(self, dag: str, run: str) -> dict[str, str]:
        """Wait for the end of a run; the state of each task."""
        path = f"/dags/{dag}/dagRuns/{quote(run, safe='')}"
        self.wait_for(lambda: self.api.get(path)["state"] in {"success", "failed"})
        return {task["task_id"]: task["state"] for task in self.tasks(dag, run)}

    def results(self, dag: str, run: str) -> dict[str, Any]:
        """Wait for the end of a run that succeeds; what each task has returned."""
        states = self.states(dag, run)
        assert set(states.values()) == {"success"}, states
        return {task: self.result(dag, run, task) for task in states}

    def result(self, dag: str, run: str, task: str) -> Any:
        """What a task that has not been mapped has returned."""
        path = f"/dags/{dag}/dagRuns/{quote(run, safe='')}/taskInstances/{task}"
        return self.api.get(f"{path}/xcomEntries/return_value?stringify=false")["value"]

    def log(self, dag: str, run: str, task: str) -> str:
        """The messages of a task's only try."""
        path = f"/dags/{dag}/dagRuns/{quote(run, safe='')}/taskInstances/{task}/logs/1"
        return "\n".join(json.dumps(line) for line in self.api.get(path)["content"])

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        path = f"/dags/{dag}/dagRuns/{quote(run, safe='')}/taskInstances"
        return list(self.api.get(path)["task_instances"])

    def count(self, dag: str, run: str, state: str) -> int:
        """How many tasks of a run are in a state. A failed one ends the test."""

        def ask(state: str) -> int:
            path = f"/dags/{dag}/dagRuns/{quote(run, safe='')}/taskInstances"
            return int(self.api.get(f"{path}?state={state}&limit=1")["total_entries"])

        assert not ask("failed"), self.home
        return ask(state)

    def memory(self, component: str) -> float:
        """The memory of a component's processes, in MiB, with their share of what is shared."""
        return sum(one.memory_full_info().pss for one in self._family(component)) / 2**20

    def cpu(self) -> dict[str, float]:
        """The seconds of CPU that each component has needed; `tasks` are the scheduler's."""

        def needed(process: psutil.Process) -> float:
            times = process.cpu_times()
            ended = times.children_user + times.children_system
            return float(times.user + times.system + ended)

        seconds = {name: sum(map(needed, self._family(name))) for name in self._processes}
        own = self._processes["scheduler"].cpu_times()
        loop = own.user + own.system
        return {**seconds, "scheduler": loop, "tasks": seconds["scheduler"] - loop}

    def _family(self, component: str) -> list[psutil.Process]:
        process = self._processes[component]
        return [process, *process.children(recursive=True)]

    def rows(self) -> dict[str, int]:
        """How many rows each table of the database has."""
        with contextlib.closing(sqlite3.connect(self.home / "airflow.db")) as database:
            listed = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            names = [name for (name,) in listed]
            counts = {
                name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
                for name in names
            }
        return {name: count for name, count in counts.items() if count}

    def wait_for(self, what: Callable[[], Any], limit: float = LIMIT) -> Any:
        deadline = time.monotonic() + limit
        while not (found := what()):
            if time.monotonic() > deadline:
                logs = {
                    name: (self.home / f"{name}.log").read_text(errors="replace")[-3000:]
                    for name in COMPONENTS
                }
                raise AssertionError(f"not within {limit} s; {logs}")
            time.sleep(0.2)
        return found


def make_environment(uv: str, lock: Path, folder: Path) -> Path:
    """Install the lock for production."""
    for command in (
        ("venv", "--quiet", "--python", sys.executable, folder),
        ("pip", "sync", "--quiet", "--require-hashes", "--python", folder / "bin/python", lock),
    ):
        done = execute(uv, *command, cwd=lock.parent)
        assert done.code == 0, done
    return folder
