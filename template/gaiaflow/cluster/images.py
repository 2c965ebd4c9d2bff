"""Check what Airflow has: its version, our trigger, and the commit of its DAGs."""

from __future__ import annotations

import json
import re
from functools import cache

from gaiaflow.cluster.api import Api, Json
from gaiaflow.cluster.subject import Subject
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding

_TRIGGERS = "gaiaflow_triggers"
# Runs in the dag-processor, with Airflow's Python.
_LOOK = f"""\
import importlib.metadata, importlib.util, json, os, pathlib, subprocess, tempfile
folder = os.environ.get("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH")
folder = pathlib.Path(folder or pathlib.Path(tempfile.gettempdir(), "airflow", "dag_bundles"))
def head(path):
    command = ["git", "-c", "safe.directory=*", "-C", str(path), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()
print(json.dumps({{
    "airflow": importlib.metadata.version("apache-airflow"),
    "triggers": importlib.util.find_spec("{_TRIGGERS}") is not None,
    "bundles": {{path.parent.name: head(path) for path in folder.glob("*/tracking_repo")}},
}}))
"""
_INTERVAL = 60  # seconds, of values-*.yaml


def airflow_image(subject: Subject) -> Finding | None:
    """Check that Airflow's image has the version of the release's lock, and our trigger."""
    if not (found := _look(subject)):
        return None
    lock = subject.stage.folder / "gaiaflow" / "locks" / "production.txt"
    text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
    wanted = re.search(r"(?m)^apache-airflow==([^\s;\\]+)", text)
    publish = (
        "python3 mlops_manager.py publish    # then set the digest in deploy/airflow/values.yaml"
    )
    if not found["triggers"]:
        what = f"Airflow's image lacks {_TRIGGERS}: each task holds a slot until its pod ends"
        return Finding("airflow-image", WARNING, what, publish)
    if wanted and wanted[1] != found["airflow"]:
        what = f"Airflow is {found['airflow']}, but the release was made for {wanted[1]}"
        return Finding("airflow-image", WARNING, what, publish)
    return Finding("airflow-image", OK, f"Airflow {found['airflow']}, with {_TRIGGERS}")


def bundle(subject: Subject) -> Finding | None:
    """Check that the dag-processor has the branch's commit."""
    stage, deployed = subject.stage, subject.deployment
    if deployed is None or not (found := _look(subject)):
        return None
    bundles: dict[str, str] = found["bundles"]
    logs = f"kubectl logs --namespace {stage.airflow} --selector component=dag-processor --tail 50"
    if not bundles:
        fix = (
            "# Its bundle is in deploy/airflow/values-*.yaml, its connection in the secret "
            f"airflow-connections.\n{logs}"
        )
        return Finding("bundle", PROBLEM, "the dag-processor has fetched no bundle", fix)
    for name, commit in bundles.items():
        if commit == deployed.commit:
            return Finding("bundle", OK, f"{name} is at {commit[:12]}, as {stage.branch}")
    known = ", ".join(f"{name} is at {commit[:12] or '?'}" for name, commit in bundles.items())
    what = f"{known}, but {stage.branch} at {deployed.commit[:12]}"
    fix = f"# After a deployment it follows within {_INTERVAL} s. If it does not:\n{logs}"
    return Finding("bundle", WARNING, what, fix)


def _look(subject: Subject) -> Json | None:
    """What the dag-processor says about itself; None if none is ready.

    Raises:
        Refused: it can't be asked.
    """
    pod = subject.component("dag-processor")
    if pod is None or subject.answers is None:
        return None
    return _asked(subject.answers, subject.stage.airflow, pod["metadata"]["name"])


@cache  # two checks need it
def _asked(api: Api, namespace: str, pod: str) -> Json:
    out = api.execute(namespace, pod, "dag-processor", "python", "-c", _LOOK)
    return dict(json.loads(out.splitlines()[-1]))
