"""The CPU time to import a DAG file, in a fresh interpreter each time, compiled.

Counted from `import airflow` on, which also loads what `from airflow.sdk import DAG` needs.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from plumbum import local

from benchmarks.common import Goal, Row, interleaved
from benchmarks.workshop import Workshop

TASKS = 5

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
import airflow
loader = SourceFileLoader("dag_file", sys.argv[1])
module = module_from_spec(spec_from_loader("dag_file", loader))
sys.modules["dag_file"] = module
before = time.process_time()
loader.exec_module(module)
print(time.process_time() - before)
"""


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Time imports of files with five tasks of each kind."""
    dags = workshop.root / "parse"
    dags.mkdir()
    airflow = workshop.airflow("python")
    files = {
        "create_task": (airflow, _OURS),
        "@task": (airflow, _BARE),
        "KubernetesPodOperator": (airflow, _KUBERNETES),
    }
    actions = {}
    for number, (label, (python, text)) in enumerate(files.items()):
        file = dags / f"dag_{number}.py"
        file.write_text(text.format(tasks=TASKS), encoding="utf-8")
        actions[label] = partial(_cpu_seconds, workshop, python, file)
        actions[label]()  # compiles
    measured = interleaved(actions, max(repeat, 5), "parse")
    name, ours = f"import of {TASKS} create_task", measured["create_task"]
    pod, task, goal = "KubernetesPodOperator", "@task", Goal("value", 0.05)
    return [
        Row(name, ours, measured[pod], f"{TASKS} {pod}", "CPU-s", goal),
        Row(name, ours, measured[task], f"{TASKS} {task}", "CPU-s"),
    ]


def _cpu_seconds(workshop: Workshop, python: str, file: Path) -> float:
    env = {
        "AIRFLOW_HOME": str(workshop.root / "parse-home"),
        "GAIAFLOW_MODE": "dev",
        "PYTHONPATH": str(workshop.project),
    }
    return float(local[python]("-c", _MEASURE, str(file), env=env))
