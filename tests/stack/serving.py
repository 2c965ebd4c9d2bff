"""A client of served predictions, and the loop that begins with what they are asked."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.airflow_api import AirflowApi

from .conftest import Project, wait_for
from .test_services import ask

BANDS = ["B02", "B03", "B04", "B08"]
WATER, VEGETATION = [0.06, 0.05, 0.03, 0.01], [0.04, 0.06, 0.04, 0.4]
ROWS = {"dataframe_split": {"columns": BANDS, "data": [WATER, VEGETATION]}}

LIMIT = 180  # seconds until serving answers with the new model
REQUESTS, EACH = 30, 10  # rows
# Reflectance of the bands as a sensor shows them whose near infrared has failed.
SEEN = {
    "Water": (0.11, 0.05, 0.03, 0.004),
    "Vegetation": (0.09, 0.06, 0.04, 0.14),
    "Urban": (0.20, 0.17, 0.20, 0.09),
}


def key(project: Project) -> dict[str, str]:
    return {"Authorization": f"Bearer {project.env['SERVING_KEY']}"}


def predict(project: Project, body: Any = ROWS, **headers: str) -> tuple[int, Any]:
    url = project.url("SERVING_PORT") + "/invocations"
    code, content = ask(url, body, **{**key(project), **headers})
    return code, json.loads(content) if content else None


def served(project: Project) -> str:
    """The version that answers now; empty if none does."""
    code, body = ask(project.url("SERVING_PORT") + "/", **key(project))
    return str(json.loads(body)["version"]) if code == 200 else ""


def champion(project: Project) -> int:
    versions = project.manage("models", "landcover", "--json").json()
    [found] = [version["version"] for version in versions if "champion" in version["aliases"]]
    return int(found)


@contextmanager
def trained_after_drift(project: Project) -> Iterator[None]:
    """The one line of the DAG that says when to train."""
    path = project.root / "dags" / "landcover.py"
    before = path.read_text(encoding="utf-8")
    changed, count = re.subn(r"(?m)^    schedule=None,$", "    schedule=[DRIFT],", before)
    assert count == 1
    path.write_text(changed, encoding="utf-8")
    airflow = AirflowApi(project.root)
    try:
        wait_for(lambda: "sset" in (airflow.get("/dags/landcover")["timetable_summary"] or ""), 120)
        yield
    finally:
        path.write_text(before, encoding="utf-8")


def send(project: Project, name: str, folder: Path) -> None:
    """Requests, and their labels, which come later."""
    noise = random.Random(name)
    labels = ["id,row,class"]
    for number in range(REQUESTS):
        request = f"{name}-{number}"
        rows = []
        for row in range(EACH):
            kind = list(SEEN)[(number + row) % len(SEEN)]
            rows.append([value * noise.uniform(0.8, 1.2) for value in SEEN[kind]])
            labels.append(f"{request},{row},{kind}")
        body = {"dataframe_split": {"columns": BANDS, "data": rows}}
        code, answer = predict(project, body, **{"X-Request-Id": request})
        assert code == 200, answer
    file = folder / f"{name}.csv"
    file.write_text("\n".join(labels), encoding="utf-8")
    put = project.manage("put", str(file), "serving/landcover/labels/")
    assert put.code == 0, put


def all_stored(project: Project) -> bool:
    """Whether the log of requests has all rows that the present server has predicted."""
    _, body = ask(project.url("SERVING_PORT") + "/metrics", **key(project))
    predicted, kept = (
        float(re.search(rf"(?m)^{re.escape(name)} (\S+)$", body.decode())[1])  # type: ignore[index]
        for name in ("serving_rows_total", 'serving_log_rows_total{outcome="stored"}')
    )
    return kept >= predicted


def monitor(project: Project) -> dict[str, Any]:
    """Run the monitor; what it decides."""
    run = project.manage("run", "landcover_monitor", "--json").json()
    result = "taskInstances/decide/xcomEntries/return_value?deserialize=true"
    path = f"/dags/landcover_monitor/dagRuns/{quote(run['run_id'])}/{result}"
    return dict(AirflowApi(project.root).get(path)["value"])


def close_the_loop(project: Project, folder: Path) -> None:
    """Let other data arrive, and wait until serving answers with a model that has learned it."""
    with trained_after_drift(project):
        old = champion(project)
        wait_for(lambda: served(project) == str(old), LIMIT)
        send(project, "first", folder)
        wait_for(lambda: all_stored(project), 60)
        decision = monitor(project)
        assert (decision["drift"], decision["retrain"]) == (True, True)
        wait_for(lambda: champion(project) > old, LIMIT)
        new = champion(project)
        wait_for(lambda: served(project) == str(new), LIMIT)
        assert right(project) > 0.9
        # The same data are what the new model is used to, so the loop comes to rest.
        send(project, "second", folder)
        wait_for(lambda: all_stored(project), 60)
        assert monitor(project)["retrain"] is False
        assert champion(project) == new


def right(project: Project) -> float:
    """The share of right answers for typical rows."""
    body = {"dataframe_split": {"columns": BANDS, "data": [list(row) for row in SEEN.values()]}}
    _, answer = predict(project, body)
    pairs = zip(answer["predictions"], SEEN, strict=True)
    return sum(float(predicted == kind) for predicted, kind in pairs) / len(SEEN)
