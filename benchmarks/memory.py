"""The memory of the idle stack, against `airflow standalone` in the same environment."""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from plumbum import local

from benchmarks.common import CannotMeasure, Goal, Row, say
from benchmarks.workshop import MARK, Workshop, marked, pss

SETTLE = 20.0  # seconds from healthy to idle
START_LIMIT = 180.0
COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Sum the PSS of all processes: shared pages count once, however many share them."""
    with workshop.running() as project:
        say(f"  memory: the stack is up, waiting {SETTLE:.0f} s")
        ours, count = _pss("GAIAFLOW_PROJECT", str(project), repeat)
    with _standalone(workshop):
        say(f"  memory: airflow standalone is up, waiting {SETTLE:.0f} s")
        peer, peer_count = _pss(MARK, str(workshop.root), repeat)
    note = f"{count} processes, and {peer_count}"
    return [
        Row(
            "idle stack, PSS",
            ours,
            peer,
            "airflow standalone alone",
            "GiB",
            Goal("value", 1.2),
            note,
        )
    ]


def _pss(name: str, value: str, repeat: int) -> tuple[float, int]:
    """The median PSS in GiB of the processes with a mark, and how many they are."""
    time.sleep(SETTLE)
    sums, counts = [], []
    for _ in range(repeat):
        found = marked(name, value)
        sums.append(pss(found))
        counts.append(len(found))
        time.sleep(2)
    return statistics.median(sums), int(statistics.median(counts))


@contextlib.contextmanager
def _standalone(workshop: Workshop) -> Iterator[None]:
    """`airflow standalone` as it comes, on free ports, its pages on 127.0.0.1 only.

    Its log servers can't be bound to an address; they want a token that only its processes have.
    """
    home = workshop.root / "standalone"
    (home / "dags").mkdir(parents=True)
    port, *log_ports = _free_ports(3)
    python = Path(workshop.airflow("python"))
    options = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_ports[0]),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_ports[1]),
        "PATH": f"{python.parent}:{local.env['PATH']}",
    }
    log = home / "standalone.log"
    with log.open("wb") as output:
        process = local[str(python)]["-m", "airflow", "standalone"].popen(
            cwd=str(home),
            env=options,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_LIMIT
        while not _healthy(port):
            if process.poll() is not None or time.monotonic() > deadline:
                end = log.read_text(errors="replace")[-2000:]
                raise CannotMeasure(f"`airflow standalone` does not come up:\n{end}")
            time.sleep(0.5)
        yield
    finally:
        workshop.end_marked()  # it leaves dozens behind when it ends by itself
        process.wait()


def _healthy(port: int) -> bool:
    try:
        url = f"http://127.0.0.1:{port}/api/v2/monitor/health"
        with _opener.open(url, timeout=5) as answer:
            health = json.loads(answer.read())
    except OSError:
        return False
    return all(health.get(name, {}).get("status") == "healthy" for name in COMPONENTS)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
