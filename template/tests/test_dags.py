"""Every file in dags/ loads in Airflow, and every task names a function that exists."""

import ast
import json
import os
import subprocess
from pathlib import Path

import pytest

from gaiaflow import runner

ROOT = Path(__file__).parents[1]
DAGS = sorted((ROOT / "dags").glob("*.py"))

# Airflow lives in an environment of its own, so its interpreter loads the files.
PYTHON = ROOT / ".gaiaflow" / "airflow" / "bin" / "python"
LOAD = """
import json, runpy, sys
from airflow.sdk import DAG
found = {}
for path in sys.argv[1:]:
    values = runpy.run_path(path).values()
    found[path] = [dag.dag_id for dag in values if isinstance(dag, DAG)]
print(json.dumps(found))
"""


@pytest.mark.skipif(not PYTHON.exists(), reason="no Airflow yet: python3 mlops_manager.py start")
def test_dags_load(tmp_path: Path) -> None:
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [str(PYTHON), "-c", LOAD, *map(str, DAGS)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    ids = [dag_id for dag_ids in found.values() for dag_id in dag_ids]
    assert all(found.values()), f"files without a DAG: {found}"
    assert len(ids) == len(set(ids)), f"a DAG id is used twice: {ids}"


@pytest.mark.parametrize("path", DAGS, ids=lambda path: path.name)
def test_functions_of_tasks_exist(path: Path) -> None:
    """A name that is misspelt fails here, and not at night."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "create_task":
            named = {keyword.arg: keyword.value for keyword in call.keywords}
            function = named.get("function", *call.args[1:2])
            if isinstance(function, ast.Constant):  # what is computed can't be looked up here
                runner.load(str(function.value))
