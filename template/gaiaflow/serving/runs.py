"""Runs of the project's batch DAG, through Airflow's REST API."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import requests

from gaiaflow.serving.errors import Refused

_TIMEOUT = (3.0, 15.0)  # seconds: to connect, and to answer
_ERROR = re.compile(r"(?:[\w.]+\.)?\w*(?:Error|Exception): .+")

Json = dict[str, Any]


class Runs:
    """Starts runs of one DAG, and tells what became of them.

    All methods wait for Airflow, and raise `Refused` if it doesn't answer or refuses.

    Args:
        url: Airflow's address.
        user, password: what to log in with.
        dag: the id of the DAG.
    """

    def __init__(self, url: str, user: str, password: str, dag: str) -> None:
        self.dag = dag
        self._url = url.rstrip("/")
        self._login = {"username": user, "password": password}
        self._token = ""
        self._path = f"/api/v2/dags/{quote(dag, safe='')}"

    def start(self, run_id: str, conf: Mapping[str, Any]) -> Json:
        """Start a run, or return the one that has this id.

        Args:
            conf: values for parameters. `catalog` is required of the DAG; it gets the others if it
                has such parameters.
        """
        found = self._ask("GET", f"{self._path}/details", ok={404}).json()
        params = found.get("params")
        if params is None or found.get("is_stale"):
            raise Refused(
                503,
                f"Airflow has no DAG {self.dag!r}. SERVING_SCENES_DAG in .env names the one that "
                "maps scenes.",
            )
        if "catalog" not in params:
            raise Refused(
                503, f"The DAG {self.dag!r} can't map this: it has no parameter `catalog`."
            )
        if found["is_paused"]:
            if found.get("timetable_summary"):  # unpausing would start runs that are due
                raise Refused(503, f"The DAG {self.dag!r} is paused: unpause it in Airflow.")
            self._ask("PATCH", self._path, {"is_paused": False})
        known = {name: value for name, value in conf.items() if name in params}
        order = {"dag_run_id": run_id, "conf": known, "logical_date": None}
        answer = self._ask("POST", f"{self._path}/dagRuns", order, ok={409})
        run = answer.json() if answer.status_code != 409 else self.find(run_id)
        if run is None:
            raise Refused(503, "Airflow has just removed a run of this id. Try again.")
        return dict(run)

    def find(self, run_id: str) -> Json | None:
        """A run as Airflow describes it; None if there is none."""
        answer = self._ask("GET", self._run(run_id), ok={404})
        return dict(answer.json()) if answer.status_code == 200 else None

    def results(self, run_id: str) -> Iterator[Any]:
        """What the tasks of a run have returned."""
        entries = f"{self._run(run_id)}/taskInstances/~/xcomEntries"
        query = {"xcom_key": "return_value", "limit": 100}
        for entry in self._ask("GET", entries, query=query).json()["xcom_entries"]:
            task = quote(entry["task_id"], safe="")
            path = f"{self._run(run_id)}/taskInstances/{task}/xcomEntries/return_value"
            value = self._ask("GET", path, query={"map_index": entry["map_index"]}).json()["value"]
            yield json.loads(value) if isinstance(value, str) else value

    def reason(self, run_id: str) -> str:
        """Why a run failed, in one line: the error of the first task that did."""
        listed = self._ask("GET", f"{self._run(run_id)}/taskInstances").json()["task_instances"]
        failed = [task for task in listed if task["state"] == "failed"]
        for task in sorted(failed, key=lambda task: task["start_date"] or "")[:1]:
            name = quote(task["task_id"], safe="")
            path = f"{self._run(run_id)}/taskInstances/{name}/logs/{task['try_number']}"
            query = {"map_index": task["map_index"], "full_content": True}
            said = self._ask("GET", path, query=query, ok={404}).json().get("content", [])
            return f"{task['task_id']}: {_error(said) or 'see its log in Airflow'}"
        return "see the run in Airflow"

    def _run(self, run_id: str) -> str:
        return f"{self._path}/dagRuns/{quote(run_id, safe='')}"

    def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        ok: Collection[int] = (),
    ) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False  # neither a proxy nor a .netrc
            try:
                answer = self._send(session, method, path, body, query)
                if answer.status_code == 401:  # the token has expired
                    self._token = ""
                    answer = self._send(session, method, path, body, query)
            except requests.RequestException:
                raise Refused(
                    503,
                    "Airflow, which maps scenes, does not answer. Start it: "
                    "python3 mlops_manager.py start",
                    {"retry-after": "10"},
                ) from None
        if not answer.ok and answer.status_code not in ok:
            raise Refused(503, f"Airflow answered {answer.status_code}: {_detail(answer)}")
        return answer

    def _send(
        self, session: requests.Session, method: str, path: str, body: Any, query: Any
    ) -> requests.Response:
        if not self._token:
            answer = session.post(f"{self._url}/auth/token", json=self._login, timeout=_TIMEOUT)
            if not answer.ok:
                raise Refused(503, "Airflow rejects the user and password that serving has.")
            self._token = answer.json()["access_token"]
        headers = {"authorization": f"Bearer {self._token}"}
        address = self._url + path
        return session.request(
            method, address, json=body, params=query, headers=headers, timeout=_TIMEOUT
        )


def _error(log: list[Any]) -> str:
    """The last error in a task's log that the function itself has raised."""
    lines = [str(entry.get("event", "")) for entry in log if isinstance(entry, dict)]
    errors = [line.strip() for text in lines for line in text.splitlines()]
    found = [line for line in errors if _ERROR.fullmatch(line)]
    return found[-1].partition(": ")[2] if found else ""


def _detail(answer: requests.Response) -> str:
    try:
        return str(answer.json()["detail"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]
