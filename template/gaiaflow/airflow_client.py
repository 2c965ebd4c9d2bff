"""Run and follow DAGs through Airflow's REST API (https://airflow.apache.org/docs, v2)."""

from __future__ import annotations

import difflib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from gaiaflow.project import import_errors
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project

_PARSE_LIMIT = 40.0  # seconds within which Airflow must read a new or changed DAG file
_READING = 3.0  # seconds that Airflow may need to read a DAG file
_POLL = 0.4
_SCHEDULE_LIMIT = 15.0  # seconds within which the scheduler starts a run that is due
_PAGE = 100  # entries; Airflow's own limit
_PATIENCE = 120.0  # seconds that Airflow may be unavailable during a run, such as after a crash
_LOCK_LIMIT = 30.0  # seconds in which a locked database is asked again

IN_CONTAINER = "/opt/project"  # where docker-compose.yml mounts the project

FINAL_STATES = {"success", "failed"}
# From worst to best.
TASK_IS_OVER = ("failed", "upstream_failed", "removed", "success", "skipped")

Json = dict[str, Any]


class NoAnswer(GaiaflowError):
    """Airflow or its database does not answer, perhaps only briefly."""


class WrongConf(GaiaflowError):
    """The DAG does not accept the given configuration."""


@dataclass(frozen=True)
class Task:
    """The current state of one task in a run."""

    task_id: str
    state: str
    try_number: int
    map_index: int
    seconds: float | None
    started: str | None = None  # ISO 8601

    @property
    def label(self) -> str:
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


@dataclass(frozen=True)
class DagRun:
    """The current state of a DAG run."""

    dag_id: str
    run_id: str
    state: str
    tasks: tuple[Task, ...]
    base_url: str

    @property
    def url(self) -> str:
        """Its page in Airflow."""
        return f"{self.base_url}/dags/{self.dag_id}/runs/{self.run_id}"

    @property
    def path(self) -> str:
        """Its address in Airflow's API."""
        return f"/api/v2/dags/{quote(self.dag_id, safe='')}/dagRuns/{quote(self.run_id, safe='')}"

    @property
    def questions(self) -> dict[str, str]:
        """The tasks that wait for someone's answer, and the pages where to give it."""
        waiting = [task.task_id for task in self.tasks if task.state == "awaiting_input"]
        return {name: f"{self.url}/tasks/{name}/required_actions" for name in waiting}


class Airflow:
    """A client of this project's Airflow."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._client = httpx.Client(
            base_url=project.url("AIRFLOW_PORT"), timeout=30, trust_env=False
        )
        self._asked = time.time()

    # --- finding a DAG -----------------------------------------------------------------------

    def find_dag(self, dag_id: str, say: Callable[[str], None]) -> Json:
        """Find a DAG in the current state of its file; wait until Airflow has read changes.

        Raises:
            GaiaflowError: there is no such DAG, its file does not import, or Airflow does not
                answer.
        """
        deadline = time.monotonic() + _PARSE_LIMIT
        self._asked = time.time()
        asked = False
        while True:
            dag = self._get(f"/api/v2/dags/{quote(dag_id, safe='')}/details")
            if dag and self._is_current(dag):
                return dag
            self._raise_import_error(dag_id, dag)
            if not dag and not self._may_appear(dag_id):
                raise self._unknown(dag_id)
            if time.monotonic() > deadline:
                raise self._unknown(dag_id) if not dag else self._not_read(dag_id)
            if dag and not asked:
                asked = True
                self._request("PUT", f"/api/v2/parseDagFile/{dag['file_token']}", ok={201, 409})
            say("Airflow is reading dags/")
            time.sleep(_POLL)

    def _is_current(self, dag: Json) -> bool:
        file = self.file_of(dag)
        # Not "last_parsed": that is when the API server loaded the DAG from the database.
        parsed = dag.get("last_parsed_time") or ""
        if dag.get("is_stale") or not parsed:
            return False
        began = _timestamp(parsed) - (dag.get("last_parse_duration") or 0)
        return self._unchanged_since(file, began)

    def _unchanged_since(self, file: Path, moment: float) -> bool:
        sources = [file, *self._yaml_files_of(file)]
        return all(not source.exists() or self._changed(source) < moment for source in sources)

    def _changed(self, file: Path) -> float:
        """When a file was changed; a date in the future means now."""
        return min(file.stat().st_mtime, self._asked)

    def _yaml_files_of(self, file: Path) -> list[Path]:
        """The YAML pipelines, if this is the Python file that loads them."""
        if not file.exists() or "load_yaml_pipelines" not in file.read_text("utf-8", "ignore"):
            return []
        return [other for other in self._dag_files() if other.suffix != ".py"]

    def files_of(self, dag: Json) -> list[Path]:
        """The file that defines a DAG, and the YAML pipelines if it loads them."""
        file = self.file_of(dag)
        return [file, *self._yaml_files_of(file)]

    def file_of(self, dag: Json) -> Path:
        """The local path of a DAG's file: containers mount the project elsewhere."""
        fileloc: str = dag["fileloc"]
        return self.project.root / fileloc.removeprefix(f"{IN_CONTAINER}/")

    def _may_appear(self, dag_id: str) -> bool:
        """Whether a file could define this DAG, even if Airflow hasn't read it yet."""
        return any(self._mentions(file, dag_id) for file in self._dag_files())

    def _dag_files(self) -> list[Path]:
        folder = self.project.root / "dags"
        return [file for kind in ("*.py", "*.yml", "*.yaml") for file in folder.rglob(kind)]

    def _raise_import_error(self, dag_id: str, dag: Json | None) -> None:
        for error in self._list("/api/v2/importErrors", "import_errors"):
            file = self.project.root / "dags" / error["filename"]
            if not file.exists():
                continue  # Airflow has not noticed the deletion yet
            # After an edit, an error of the version before it may still arrive.
            moment = min(_timestamp(error["timestamp"]), time.time() - _READING)
            current = self._unchanged_since(file, moment)
            mine = self.file_of(dag) == file if dag else self._mentions(file, dag_id)
            if current and mine:
                trace = error["stack_trace"].replace(IN_CONTAINER, str(self.project.root))
                raise GaiaflowError(import_error_text(self.project.root, file, trace))

    def _mentions(self, file: Path, dag_id: str) -> bool:
        if dag_id == file.stem or dag_id in file.read_text(encoding="utf-8", errors="ignore"):
            return True
        return any(self._mentions(other, dag_id) for other in self._yaml_files_of(file))

    def _unknown(self, dag_id: str) -> GaiaflowError:
        names = [dag["dag_id"] for dag in self._list("/api/v2/dags", "dags")]
        near = difflib.get_close_matches(dag_id, names, n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        return GaiaflowError(
            f"There is no DAG {dag_id!r} in dags/.{hint}\n"
            f"Known: {', '.join(sorted(names)) or 'none'}."
        )

    def _not_read(self, dag_id: str) -> GaiaflowError:
        return GaiaflowError(
            f"Airflow has not read the file of {dag_id!r} within {_PARSE_LIMIT:.0f} s.\n"
            "See what it is doing: python3 mlops_manager.py logs airflow-dag-processor"
        )

    # --- running it --------------------------------------------------------------------------

    def trigger(self, dag: Json, conf: Mapping[str, Any]) -> DagRun:
        """Start a run of a DAG, and unpause it: otherwise the run would wait.

        If unpausing makes a scheduled run due, return that run.

        Raises:
            WrongConf: the DAG's parameters do not accept `conf`.
        """
        dag_id, params = dag["dag_id"], dag.get("params") or {}
        unknown = [name for name in conf if params and name not in params]
        if unknown:  # Airflow would silently ignore a misspelt name
            known = ", ".join(params)
            raise WrongConf(f"The DAG {dag_id!r} has no parameter {unknown[0]!r}, only: {known}")
        path = f"/api/v2/dags/{quote(dag_id, safe='')}"
        due = _due_date(dag)
        run_id = self._scheduled_run(path) if due and not conf else None
        run_id = run_id or self._manual_run(dag_id, path, conf, due)
        self._request("PATCH", path, {"is_paused": False})
        return DagRun(dag_id, run_id, "queued", (), self.project.url("AIRFLOW_PORT"))

    def _scheduled_run(self, path: str) -> str | None:
        """Unpause a DAG and return the run that its schedule then starts, if any."""
        before = self._newest_scheduled(path)
        self._request("PATCH", path, {"is_paused": False})
        deadline = time.monotonic() + _SCHEDULE_LIMIT
        while time.monotonic() < deadline:
            if (found := self._newest_scheduled(path)) != before:
                return found
            time.sleep(_POLL)
        return None

    def _newest_scheduled(self, path: str) -> str | None:
        query = {"run_type": "scheduled", "order_by": "-id", "limit": 1}
        runs = (self._get(f"{path}/dagRuns", query) or {}).get("dag_runs", [])
        return runs[0]["dag_run_id"] if runs else None

    def _manual_run(self, dag_id: str, path: str, conf: Mapping[str, Any], date: str | None) -> str:
        """Start a run manually. With the date of a scheduled run, it takes its place."""
        order = {"conf": dict(conf), "logical_date": date}
        refusals = {httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY}
        answer = self._request("POST", f"{path}/dagRuns", order, ok={200, 409, *refusals})
        if answer.status_code in refusals:
            raise WrongConf(f"The DAG {dag_id!r} does not accept this --conf: {_detail(answer)}")
        if answer.status_code == httpx.codes.CONFLICT:  # a run with this date exists
            return self._manual_run(dag_id, path, conf, None)
        return str(answer.json()["dag_run_id"])

    def newest_run(self, dag_id: str) -> DagRun | None:
        """The run of a DAG that was asked for last, with its tasks; None if there was none."""
        path = f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns"
        found = (self._get(path, {"order_by": "-id", "limit": 1}) or {}).get("dag_runs", [])
        if not found:
            return None
        base_url = self.project.url("AIRFLOW_PORT")
        run = DagRun(dag_id, found[0]["dag_run_id"], found[0]["state"], (), base_url)
        return replace(run, tasks=self._tasks(run))

    def conf_of(self, run: DagRun) -> Json:
        """The parameters that a run was given."""
        return (self._get(run.path) or {}).get("conf") or {}

    def _tasks(self, run: DagRun) -> tuple[Task, ...]:
        listed = self._list(f"{run.path}/taskInstances", "task_instances")
        return tuple(map(_task, listed))

    def upstream(self, dag_id: str) -> dict[str, set[str]]:
        """The tasks of a DAG, each with all that come before it."""
        listed = self._get(f"/api/v2/dags/{quote(dag_id, safe='')}/tasks") or {}
        after = {task["task_id"]: task["downstream_task_ids"] for task in listed.get("tasks", [])}
        before: dict[str, set[str]] = {name: set() for name in after}
        for name, followers in after.items():
            due = list(followers)
            for follower in due:  # grows
                if name not in before[follower]:
                    before[follower].add(name)
                    due += after[follower]
        return before

    def repeat(self, run: DagRun, task_ids: Iterable[str]) -> DagRun:
        """Run tasks of a run again, and all that follow them, with the results of the others.

        Unpauses the DAG: otherwise they would wait.
        """
        order = {
            "dry_run": False,
            "dag_run_id": run.run_id,
            "task_ids": sorted(task_ids),
            "include_downstream": True,
            "only_failed": False,
            "run_on_latest_version": True,
        }
        path = f"/api/v2/dags/{quote(run.dag_id, safe='')}"
        self._request("POST", f"{path}/clearTaskInstances", order)
        self._request("PATCH", path, {"is_paused": False})
        return run

    def find_run(self, dag_id: str, run_id: str) -> DagRun:
        """A run without its tasks; no state if Airflow does not answer or no longer has it."""
        run = DagRun(dag_id, run_id, "", (), self.project.url("AIRFLOW_PORT"))
        with suppress(GaiaflowError):
            run = replace(run, state=str((self._get(run.path) or {}).get("state", "")))
        return run

    def follow(self, run: DagRun) -> Iterator[DagRun]:
        """Yield the state of a run and its tasks repeatedly until it ends.

        Raises:
            NoAnswer: Airflow is unavailable for longer than a restart takes.
        """
        seen = time.monotonic()
        while True:
            try:
                state = (self._get(run.path) or {}).get("state", "failed")
                tasks = self._tasks(run)
            except NoAnswer:
                if time.monotonic() - seen > _PATIENCE:
                    raise
                time.sleep(_POLL)
                continue
            seen = time.monotonic()
            yield replace(run, state=state, tasks=tasks)
            if state in FINAL_STATES:
                return
            time.sleep(_POLL)

    def task_log(self, run: DagRun, task: Task) -> str:
        """The log of a task's latest try."""
        query = {"map_index": task.map_index, "full_content": True}
        path = f"{run.path}/taskInstances/{task.task_id}/logs/{task.try_number}"
        return "\n".join(_log_lines((self._get(path, query) or {}).get("content", [])))

    # --- HTTP --------------------------------------------------------------------------------

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Json | None:
        answer = self._request("GET", path, query=query, ok={200, 404})
        return dict(answer.json()) if answer.status_code == httpx.codes.OK else None

    def _list(self, path: str, name: str) -> list[Json]:
        """All entries of a list; Airflow returns a hundred at a time."""
        entries: list[Json] = []
        while True:
            page = self._get(path, {"limit": _PAGE, "offset": len(entries)}) or {}
            found = page.get(name, [])
            entries += found
            if not found or len(entries) >= page["total_entries"]:
                return entries

    def _request(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        query: Mapping[str, Any] | None = None,
        ok: set[int] | frozenset[int] = frozenset({200, 201}),
    ) -> httpx.Response:
        deadline = time.monotonic() + _LOCK_LIMIT
        while True:
            answer = self._send(method, path, body, query)
            if not _was_locked(answer) or time.monotonic() > deadline:
                break
            time.sleep(_POLL)
        if answer.status_code not in ok:
            said = f"{answer.status_code} {_detail(answer)}"
            kind = NoAnswer if answer.is_server_error else GaiaflowError
            raise kind(f"Airflow answered {method} {path} with {said}")
        return answer

    def _send(
        self, method: str, path: str, body: Json | None, query: Mapping[str, Any] | None
    ) -> httpx.Response:
        try:
            if "Authorization" not in self._client.headers:
                self._log_in()
            return self._client.request(method, path, json=body, params=query)
        except httpx.TransportError as error:
            raise NoAnswer(
                f"Airflow does not answer at {self._client.base_url} ({error}).\n"
                "Start it: python3 mlops_manager.py start"
            ) from None

    def _log_in(self) -> None:
        env = self.project.env
        body = {"username": env["AIRFLOW_USER"], "password": env["AIRFLOW_PASSWORD"]}
        answer = self._client.post("/auth/token", json=body)
        if not answer.is_success:
            raise GaiaflowError(
                "Airflow rejects the password in .env: did it change while Airflow was running?\n"
                "Restart it: python3 mlops_manager.py restart"
            )
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def overview(tasks: Iterable[Task]) -> Iterator[tuple[str, str, str]]:
    """Yield name, state and a note for each task; sum up the instances of mapped tasks."""
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.task_id, []).append(task)
    for name, members in groups.items():
        counts = Counter(task.state for task in members)
        if members[0].map_index < 0:
            yield name, members[0].state, ""
            continue
        over = sum(counts[state] for state in TASK_IS_OVER)
        said = [f"{over} of {len(members)}"]
        said += [f"{counts[state]} {state}" for state in sorted(counts.keys() - {"success"})]
        yield name, _state_of_all(counts, over == len(members)), ", ".join(said)


def _state_of_all(counts: Mapping[str, int], over: bool) -> str:
    if over:  # the worst
        return next(state for state in TASK_IS_OVER if counts.get(state))
    if len(counts) == 1:
        return next(iter(counts))
    return "running"


def import_error_text(root: Path, file: Path, trace: str) -> str:
    """Describe why a DAG file does not import: file, line and message."""
    _, wrong_yaml, problems = trace.partition("PipelineError: ")
    if wrong_yaml:
        return f"{problems.strip()}\nThe YAML pipelines can't be loaded until this is fixed."
    # Not the framework's frames: a wrong call of it is the caller's mistake.
    users = r'((?!\.?gaiaflow/)[^"]+)'
    frames = re.findall(rf'File "{re.escape(str(root))}/{users}", line (\d+)', trace)
    where = ", line ".join(frames[-1]) if frames else str(file.relative_to(root))
    message = trace.strip().splitlines()[-1]
    hint = import_errors.hint(root, message)
    advice = [hint] if hint else []
    return "\n".join(
        [f"{where}: {message}", *advice, "The DAG can't be loaded until this is fixed."]
    )


def _due_date(dag: Json) -> str | None:
    """The logical date of the scheduled run that unpausing this DAG will start."""
    after = dag.get("next_dagrun_run_after") if dag["is_paused"] else None
    if not after or _timestamp(after) > time.time():
        return None
    return str(dag["next_dagrun_logical_date"])


def _task(item: Json) -> Task:
    return Task(
        item["task_id"],
        item["state"] or "waiting",
        item["try_number"],
        item["map_index"],
        item["duration"],
        item["start_date"],
    )


def _timestamp(text: str) -> float:
    import datetime

    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


def _was_locked(answer: httpx.Response) -> bool:
    """Whether Airflow took back a request because its database was locked.

    Two requests at the same moment are enough with SQLite. Airflow gives no other reason.
    """
    return answer.is_server_error and "Database error" in _detail(answer)


def _log_lines(content: list[Any]) -> Iterator[str]:
    for entry in content:
        event = entry.get("event", "") if isinstance(entry, dict) else entry
        if not str(event).startswith(("::group::", "::endgroup::")):  # folds of Airflow's pages
            yield str(event)
        if not isinstance(entry, dict):
            continue
        for error in entry.get("error_detail") or []:
            yield f"{error.get('exc_type')}: {error.get('exc_value')}"
