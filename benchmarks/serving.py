"""Predictions over HTTP: one row, sixteen clients, memory, a new champion under load, a crash."""

from __future__ import annotations

import http.client
import json
import os
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
from plumbum import local

from benchmarks.common import CannotMeasure, Goal, Row, interleaved, say
from benchmarks.map_tiles import environment
from benchmarks.workshop import GIB, Workshop, pss

MODEL = "landcover"
BODY = json.dumps(
    {
        "dataframe_split": {
            "columns": ["B02", "B03", "B04", "B08"],
            "data": [[0.04, 0.06, 0.04, 0.4]],
        }
    }
)
ONE, MANY = 300, 1600  # requests of a turn
CLIENTS = 16
SWAP_CLIENTS, SWAP_REQUESTS = 8, 20_000
PATIENCE = 60.0


@dataclass
class Load:
    """Clients that send requests over open connections, and when and how long each took."""

    port: int
    key: str
    answers: list[tuple[float, float, str]] = field(default_factory=list)  # start, s, version
    failed: int = 0

    def run(self, clients: int, requests: int) -> float:
        """Send so many requests in all; returns the seconds that this took."""
        threads = [
            threading.Thread(target=self._client, args=[requests // clients])
            for _ in range(clients)
        ]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - begun

    def _client(self, requests: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        for _ in range(requests):
            begun = time.perf_counter()
            try:
                connection.request("POST", "/invocations", BODY, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    raise http.client.HTTPException(answer.status)
                version = answer.headers.get("x-model-version", "")
                self.answers.append((begun, time.perf_counter() - begun, version))
            except (OSError, http.client.HTTPException):
                self.failed += 1
                connection.close()
        connection.close()


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """In turns with `mlflow models serve` of the same version, with one worker as by default."""
    with workshop.running() as project:
        for _ in range(2):  # two versions
            workshop.manage(project, "run", MODEL)
        workshop.manage(project, "start", "--service", "serving")
        try:
            env = environment(workshop, project)
            ours = _ours(project)
            begun = time.perf_counter()
            with _peer(project, env) as peer:
                start = time.perf_counter() - begun
                measured = _in_turns(ours, peer, repeat)
            supervisor = _supervisor(workshop, project)  # MLflow's server would share its memory
            return [
                *measured,
                _memory(supervisor),
                _crash(supervisor, ours, start),
                _swap(workshop, project, ours),
            ]
        finally:
            workshop.manage(project, "stop", "--service", "serving")


def _ours(project: Path) -> Load:
    found = dict(re.findall(r"(?m)^(\w+)=(.*)$", (project / ".env").read_text(encoding="utf-8")))
    return Load(int(found["SERVING_PORT"]), found["SERVING_KEY"])


def _in_turns(ours: Load, peer: Load, repeat: int) -> list[Row]:
    loads = {"ours": ours, "mlflow": peer}

    def one(load: Load) -> float:
        load.answers.clear()
        load.run(1, ONE)
        return statistics.median(seconds for _, seconds, _ in load.answers) * 1000

    def many(load: Load) -> float:
        return load.run(CLIENTS, MANY) / MANY * 1000

    for load in loads.values():
        one(load)
    alone = {name: partial(one, load) for name, load in loads.items()}
    together = {name: partial(many, load) for name, load in loads.items()}
    p50 = interleaved(alone, repeat, "one row, p50 in ms")
    each = interleaved(together, repeat, f"{CLIENTS} clients, ms per request")
    if ours.failed or peer.failed:
        raise CannotMeasure(f"requests failed: {ours.failed} of ours, {peer.failed} of MLflow's")
    against = "mlflow models serve"
    return [
        Row("a prediction, p50", p50["ours"], p50["mlflow"], against, "ms", Goal("ratio", 1.1)),
        Row(
            f"a prediction, {CLIENTS} clients",
            *(each["ours"], each["mlflow"], against, "ms", Goal("ratio", 1 / 1.5)),
            note=f"{1000 / each['ours']:.0f} against {1000 / each['mlflow']:.0f} per second",
        ),
    ]


def _supervisor(workshop: Workshop, project: Path) -> psutil.Process:
    states = json.loads(workshop.manage(project, "status", "--json"))
    [pid] = [state["pid"] for state in states if state["service"] == "serving"]
    return psutil.Process(pid)


def _memory(supervisor: psutil.Process) -> Row:
    used = pss([supervisor, *supervisor.children(recursive=True)]) * GIB / 2**20
    return Row("memory of serving", used, unit="MiB", goal=Goal("value", 250))


def _crash(supervisor: psutil.Process, load: Load, start: float) -> Row:
    """Seconds from `kill -9` of the worker to the next answer, against MLflow's start."""
    [worker] = supervisor.children()
    begun = time.perf_counter()
    worker.kill()
    worker.wait()
    load.run(1, 1)
    if load.failed:
        raise CannotMeasure("the request after a crash failed")
    seconds = time.perf_counter() - begun
    against = "start of mlflow models serve"
    return Row("an answer after kill -9", seconds, start, against, "s", Goal("value", 5))


def _swap(workshop: Workshop, project: Path, load: Load) -> Row:
    """The slowest hundredth of requests while a champion is replaced, against that before."""
    load.answers.clear()
    thread = threading.Thread(target=load.run, args=[SWAP_CLIENTS, SWAP_REQUESTS])
    begun = time.perf_counter()
    thread.start()
    time.sleep(20)
    calm = [seconds for _, seconds, _ in load.answers]
    spans: list[tuple[float, float]] = []
    while thread.is_alive():
        versions = json.loads(workshop.manage(project, "models", MODEL, "--json"))
        [other, *_] = [found["version"] for found in versions if not found["aliases"]]
        start = time.perf_counter()
        workshop.manage(project, "promote", MODEL, str(other))
        while thread.is_alive() and load.answers[-1][2] != str(other):
            time.sleep(0.1)
        spans.append((start, time.perf_counter()))
        say(f"  serving: version {other} took over after {spans[-1][1] - start:.1f} s")
        thread.join(15)
    during = [
        seconds
        for moment, seconds, _ in load.answers
        if any(first <= moment <= last for first, last in spans)
    ]
    say(f"  serving: {time.perf_counter() - begun:.0f} s in all")
    return Row(
        "p99 while the champion changes",
        *(_p99(during) * 1000, _p99(calm) * 1000, "before", "ms", Goal("ratio", 3)),
        note=f"{load.failed} of {SWAP_REQUESTS} failed, {len(spans)} changes",
    )


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


@contextmanager
def _peer(project: Path, env: dict[str, str]) -> Iterator[Load]:
    """`mlflow models serve` of the same champion, in the same environment."""
    programs = project / ".venv" / "bin"
    port = _ours(project).port + 10_000
    options = ("-m", f"models:/{MODEL}@champion", "-p", str(port), "--env-manager", "local")
    path = f"{programs}{os.pathsep}{env['PATH']}"  # it starts uvicorn
    mlflow = local[str(programs / "mlflow")]["models", "serve", *options].with_env(
        **{**env, "PATH": path}
    )
    # Its log of requests would fill a pipe that nobody reads, and then it would wait.
    process = mlflow.popen(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while not _answers(port):
            if time.monotonic() > deadline or process.poll() is not None:
                raise CannotMeasure("`mlflow models serve` does not start")
            time.sleep(0.2)
        yield Load(port, "")
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                child.terminate()
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
