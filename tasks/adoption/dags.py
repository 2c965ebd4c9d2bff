"""Rewrite DAG files of the original so that they load in Airflow 3; all else in them stays."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.migrations.steps import RenamedImport

# Where names of Airflow 2 and of the original are now.
IMPORTS: Sequence[RenamedImport] = (
    RenamedImport("airflow:DAG", "airflow.sdk:DAG"),
    RenamedImport("airflow.models:DAG", "airflow.sdk:DAG"),
    RenamedImport("airflow.models.dag:DAG", "airflow.sdk:DAG"),
    RenamedImport("airflow.decorators:task", "airflow.sdk:task"),
    RenamedImport("airflow.decorators:dag", "airflow.sdk:dag"),
    RenamedImport("airflow.utils.task_group:TaskGroup", "airflow.sdk:TaskGroup"),
    RenamedImport("airflow.models:Variable", "airflow.sdk:Variable"),
    RenamedImport("airflow.operators.python", "airflow.providers.standard.operators.python"),
    RenamedImport("airflow.operators.bash", "airflow.providers.standard.operators.bash"),
    RenamedImport("airflow.operators.empty", "airflow.providers.standard.operators.empty"),
    RenamedImport("gaiaflow.core.create_task", "task_factory"),
    RenamedImport("gaiaflow.core.operators", "task_factory"),
    RenamedImport("gaiaflow.core", "task_factory"),
)


@dataclass(frozen=True)
class Rewritten:
    """A DAG file for Airflow 3, and what a person has to look at."""

    data: bytes
    notes: list[str]


def rewrite(data: bytes, package: str) -> Rewritten:
    """Change imports, `schedule_interval`, and PythonOperators that call the package.

    The package lives in the project's environment and not in Airflow's, so a PythonOperator of one
    of its functions becomes a `task_factory` call, if it has a task_id and a python_callable only.
    """
    for step in IMPORTS:
        data = step.code("dag.py", data)
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return Rewritten(data, ["this is not Python that can be read; nothing was changed"])
    notes: list[str] = []
    edits = _Edits(data)
    functions = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package
        for alias in node.names
    }
    rewritten = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func).rpartition(".")[2]
        named = {keyword.arg: keyword for keyword in node.keywords}
        if called == "DAG" and "schedule_interval" in named:
            edits.replace_keyword(named["schedule_interval"], "schedule")
        if called == "KubernetesPodOperator":
            notes.append("KubernetesPodOperator: Gaiaflow's create_task runs tasks in pods itself")
        if called == "PythonOperator" and "python_callable" in named:
            function = ast.unparse(named["python_callable"].value)
            if function not in functions:
                continue
            if set(named) == {"task_id", "python_callable"} and not node.args:
                task_id = ast.unparse(named["task_id"].value)
                edits.replace(
                    node, f'task_factory(task_id={task_id}, func_path="{functions[function]}")'
                )
                rewritten.add(function)
            else:
                notes.append(f"PythonOperator of {function}: use gaiaflow.create_task instead")
    uses = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if rewritten:
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] != package:
                continue
            if all((alias.asname or alias.name) in rewritten for alias in node.names):
                edits.replace(node, "from task_factory import task_factory")
        if not edits.has("from task_factory import"):
            notes.append("add: from task_factory import task_factory")
    elif uses & set(functions):
        notes.append(f"imports {package}, which Airflow's environment does not have")
    return Rewritten(edits.apply(), sorted(set(notes)))


class _Edits:
    """Replacements in a source text, by position."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._starts = [0]
        for line in data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._edits: list[tuple[int, int, bytes]] = []

    def replace(self, node: ast.expr | ast.stmt, text: str) -> None:
        start = self._starts[node.lineno - 1] + node.col_offset
        end = self._starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        self._edits.append((start, end, text.encode()))

    def replace_keyword(self, keyword: ast.keyword, name: str) -> None:
        start = self._starts[keyword.lineno - 1] + keyword.col_offset
        self._edits.append((start, start + len(keyword.arg or ""), name.encode()))

    def has(self, text: str) -> bool:
        return any(text.encode() in edit[2] for edit in self._edits) or text.encode() in self._data

    def apply(self) -> bytes:
        data = self._data
        for start, end, text in sorted(set(self._edits), reverse=True):
            data = data[:start] + text + data[end:]
        return data


def needs_factory(data: bytes) -> bool:
    """Whether a DAG file uses the original's ways to make a task."""
    return bool(re.search(rb"(?m)^\s*(from|import) task_factory\b", data))
