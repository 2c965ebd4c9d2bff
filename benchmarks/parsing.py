"""The CPU time to import a DAG file, in a fresh interpreter each time, compiled."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from plumbum import ProcessExecutionError, local

from benchmarks.common import CannotMeasure, Goal, Row, interleaved, say
from benchmarks.workshop import Workshop

TASKS = 5
PROVIDER = "apache-airflow-providers-cncf-kubernetes"

_OURS = """
from airflow.sdk import DAG
from gaiaflow import create_task

with DAG("ours", schedule=None):
    made = create_task("task_0", "package.module:function")
    for i in range(1, {tasks}):
        made = create_task(f"task_{{i}}", "package.module:function", {{"value": made.output}})
"""

_BARE = """
from airflow.sdk import DAG, task

@task
def function(value=None):
    return value

with DAG("bare", schedule=None):
    made = function.override(task_id="task_0")()
    for i in range(1, {tasks}):
        made = function.override(task_id=f"task_{{i}}")(made)
"""

_KUBERNETES = """
from airflow.sdk import DAG
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

with DAG("kubernetes", schedule=None):
    made = KubernetesPodOperator(task_id="task_0", image="image")
    for i in range(1, {tasks}):
        before, made = made, KubernetesPodOperator(task_id=f"task_{{i}}", image="image")
        before >> made
"""

# Loads the file as Airflow's DAG processor does.
_MEASURE = """
import sys, time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
for name in sys.argv[2:]:
    __import__(name)
loader = SourceFileLoader("dag_file", sys.argv[1])
module = module_from_spec(spec_from_loader("dag_file", loader))
sys.modules["dag_file"] = module
before = time.process_time()
loader.exec_module(module)
print(time.process_time() - before)
"""


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Time imports of files with five tasks of each kind, after what every DAG file imports."""
    dags = workshop.root / "parse"
    dags.mkdir()
    project_python = workshop.airflow("python")
    kubernetes_python = _with_provider(workshop)
    files = {
        "create_task": (project_python, _OURS),
        "@task": (project_python, _BARE),
        "KubernetesPodOperator": (kubernetes_python, _KUBERNETES),
    }
    actions = {}
    for label, (python, text) in files.items():
        file = dags / f"{label.strip('@')}.py"
        file.write_text(text.format(tasks=TASKS), encoding="utf-8")
        for after in ("airflow", "airflow.sdk.DAG"):
            action = partial(_cpu_seconds, workshop, python, file, after)
            action()  # compiles
            actions[f"{label} after {after}"] = action
    measured = interleaved(actions, max(repeat, 5), "parse")
    return []
