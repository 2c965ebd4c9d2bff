"""A client of served predictions, and the loop that begins with what they are asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from benchmarks.airflow_api import AirflowApi
from tests.docs.blocks import blocks, commands_of

from .conftest import LIMIT, Done, Project, person, run_block, wait_for
from .test_services import ask

BANDS = ["B02", "B03", "B04", "B08"]
WATER, VEGETATION = [0.06, 0.05, 0.03, 0.01], [0.04, 0.06, 0.04, 0.4]
ROWS = {"dataframe_split": {"columns": BANDS, "data": [WATER, VEGETATION]}}


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


def all_stored(project: Project) -> bool:
    """Whether the log of requests has all rows that the present server has predicted."""
    _, body = ask(project.url("SERVING_PORT") + "/metrics", **key(project))
    predicted, kept = (
        float(re.search(rf"(?m)^{re.escape(name)} (\S+)$", body.decode())[1])  # type: ignore[index]
        for name in ("serving_rows_total", 'serving_log_rows_total{outcome="stored"}')
    )
    return kept >= predicted


def close_the_loop(project: Project) -> None:
    """The tutorial: other data arrive, and serving answers with a model that has learned them."""
    page = "tutorial/close-the-loop.md"
    serve, ask_for_some, look, models, ask_again, look_again = commands_of(page)
    [script] = [block.text for block in blocks(page, "python") if not block.mark]
    (project.root / "new_sensor.py").write_text(script, encoding="utf-8")

    def run(commands: str) -> Done:
        done = run_block(project, commands, person())
        assert done.code == 0, done
        return done

    run(serve)
    with trained_after_drift(project):
        old = champion(project)
        wait_for(lambda: served(project) == str(old), LIMIT)
        assert right(run(ask_for_some)) < 250
        wait_for(lambda: all_stored(project), 60)
        decision = returned(project, run(look), "decide")
        assert (decision["drift"], decision["retrain"]) == (True, True)
        wait_for(lambda: champion(project) > old, LIMIT)
        new = champion(project)
        assert "champion" in run(models).out
        wait_for(lambda: served(project) == str(new), LIMIT)
        assert right(run(ask_again)) > 280
        # The same data are what the new model is used to, so the loop comes to rest.
        wait_for(lambda: all_stored(project), 60)
        decision = returned(project, run(look_again), "decide")
        assert (decision["drift"], decision["retrain"]) == (False, False), decision
        assert champion(project) == new


def returned(project: Project, done: Done, task: str) -> dict[str, Any]:
    """What a task of the monitor has returned in a run."""
    run_id = done.out.rpartition("/runs/")[2].strip()
    result = f"taskInstances/{task}/xcomEntries/return_value?deserialize=true"
    path = f"/dags/landcover_monitor/dagRuns/{quote(run_id)}/{result}"
    return dict(AirflowApi(project.root).get(path)["value"])


def right(done: Done) -> int:
    """How many of the tutorial's 300 answers were right."""
    found = re.search(r"(?m)^(\d+) of 300 are right\.$", done.out)
    assert found, done
    return int(found[1])
