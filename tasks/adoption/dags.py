"""Rewrite DAG files of the original so that they load in Airflow 3; all else in them stays."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.migrations.steps import RenamedImport

_STANDARD = "airflow.providers.standard"

# Where names of Airflow 2 and of the original are now.
IMPORTS: Sequence[RenamedImport] = (
    RenamedImport("airflow:DAG", "airflow.sdk:DAG"),
    RenamedImport("airflow.models:DAG", "airflow.sdk:DAG"),
    RenamedImport("airflow.models.dag:DAG", "airflow.sdk:DAG"),
    RenamedImport("airflow.decorators:task", "airflow.sdk:task"),
    RenamedImport("airflow.decorators:dag", "airflow.sdk:dag"),
    RenamedImport("airflow.utils.task_group:TaskGroup", "airflow.sdk:TaskGroup"),
    RenamedImport("airflow.models:Variable", "airflow.sdk:Variable"),
    RenamedImport("airflow.datasets:Dataset", "airflow.sdk:Asset"),
    RenamedImport("airflow.hooks.base_hook:BaseHook", "airflow.sdk:BaseHook"),
    RenamedImport("airflow.operators.python_operator", f"{_STANDARD}.operators.python"),
    RenamedImport("airflow.operators.bash_operator", f"{_STANDARD}.operators.bash"),
    RenamedImport("airflow.operators.python", f"{_STANDARD}.operators.python"),
    RenamedImport("airflow.operators.bash", f"{_STANDARD}.operators.bash"),
    RenamedImport("airflow.operators.empty", f"{_STANDARD}.operators.empty"),
    *(
        RenamedImport(
            f"airflow.operators.{old}:DummyOperator", f"{_STANDARD}.operators.empty:EmptyOperator"
        )
        for old in ("dummy", "dummy_operator")
    ),
    RenamedImport("airflow.utils.dates:days_ago", "task_factory:days_ago"),
    RenamedImport("gaiaflow.core.create_task", "task_factory"),
    RenamedImport("gaiaflow.core.operators", "task_factory"),
    RenamedImport("gaiaflow.core", "task_factory"),
)
# Modules that are gone, and what to do about it.
GONE = {
    "airflow.operators.subdag": "Airflow 3 has no SubDagOperator: use a TaskGroup",
    "airflow.contrib": "Airflow 3 has no airflow.contrib: look for a provider",
    "utils": "utils.py of the original is gone: minikube_manager.py gateway",
    "docker_config": "docker_config.py of the original is gone: mlops_manager.py image",
}
# The arguments of a PythonOperator, and what task_factory calls them.
_ARGUMENTS = {"task_id": "task_id", "op_kwargs": "func_kwargs", "retries": "retries", "dag": "dag"}


@dataclass(frozen=True)
class Rewritten:
    """A DAG file for Airflow 3, and what a person has to look at."""

    data: bytes
    notes: list[str]


def rewrite(data: bytes, package: str) -> Rewritten:
    """Change imports, `schedule_interval`, and PythonOperators that call the package.

    The package lives in the project's environment and not in Airflow's, so a PythonOperator of one
    of its functions becomes a `task_factory` call, if that has all the arguments it needs.
    """
    for step in IMPORTS:
        data = step.code("dag.py", data)
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return Rewritten(data, ["this is not Python that can be read; nothing was changed"])
    notes: list[str] = []
    edits = _Edits(data)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if (node.module or "").split(".")[0] == package]
    functions = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in ours
        for alias in node.names
    }
    uses = Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    uses = Counter({name: uses[name] for name in functions})
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func).rpartition(".")[2]
        named = {keyword.arg or "": keyword for keyword in node.keywords}
        if called == "DAG" and "schedule_interval" in named:
            edits.replace_keyword(named["schedule_interval"], "schedule")
        if called == "KubernetesPodOperator":
            notes.append("KubernetesPodOperator: Gaiaflow's create_task runs tasks in pods itself")
        if called == "PythonOperator" and "python_callable" in named:
            function = ast.unparse(named["python_callable"].value)
            unknown = set(named) - {*_ARGUMENTS, "python_callable", "provide_context"}
            if function in functions and not node.args and not unknown:
                made = [
                    f"{new}={ast.unparse(named[old].value)}"
                    for old, new in _ARGUMENTS.items()
                    if old in named
                ]
                made.insert(1, f'func_path="{functions[function]}"')
                edits.replace(node, f"task_factory({', '.join(made)})")
                uses[function] -= 1
                continue
            if function in functions:
                notes.append(f"PythonOperator of {function}: use gaiaflow.create_task instead")
            if "provide_context" in named:
                edits.remove_keyword(named["provide_context"])  # it always is
    if edits.has("task_factory("):
        for node in ours:
            if not any(uses[alias.asname or alias.name] for alias in node.names):
                edits.replace(node, "from task_factory import task_factory")
        if not edits.has("from task_factory import"):
            notes.append("add: from task_factory import task_factory")
    if +uses:
        notes.append(f"imports {package}, which Airflow's environment does not have")
    modules = {node.module or "" for node in imports} | {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    notes += [
        why
        for gone, why in GONE.items()
        if any(module == gone or module.startswith(f"{gone}.") for module in modules)
    ]
    return Rewritten(edits.apply(), sorted({*notes, *_scripts(data)}))


def rewrite_yaml(data: bytes, package: str) -> Rewritten:
    """Change a file of dag-factory's to what `gaiaflow.load_yaml_pipelines` reads."""
    operator = re.compile(
        rb"(?m)^(\s*)operator:\s*airflow\.operators\.python\.PythonOperator\s*\n\s*"
    )
    function = rb"(?m)^(\s*)python_callable:\s*(" + package.encode() + rb"[\w.]*)\.(\w+)"
    if re.search(function, data):
        data = re.sub(function, rb"\1function: \2:\3", operator.sub(rb"\1", data))
        data = re.sub(rb"(?m)^(\s*)op_kwargs:", rb"\1arguments:", data)
    for name in (b"bash", b"python", b"empty"):
        old, new = b"airflow.operators." + name, _STANDARD.encode() + b".operators." + name
        data = data.replace(old, new)
    data = re.sub(rb"(?m)^(\s*)schedule_interval:", rb"\1schedule:", data)
    return Rewritten(data, _scripts(data))


def reads_yaml(data: bytes) -> bool:
    """Whether a DAG file does nothing but load YAML by a dag-factory of old."""
    return b"dagfactory.DagFactory(" in data and not re.search(rb"\bDAG\(", data)


def _scripts(data: bytes) -> list[str]:
    return ["AIRFLOW_HOME is not the project's folder now"] if b"AIRFLOW_HOME" in data else []


class _Edits:
    """Replacements in a source text, by position."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._starts = [0]
        for line in data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._edits: list[tuple[int, int, bytes]] = []

    def _span(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        start = self._starts[node.lineno - 1] + node.col_offset
        end = self._starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        return start, end

    def replace(self, node: ast.expr | ast.stmt, text: str) -> None:
        self._edits.append((*self._span(node), text.encode()))

    def replace_keyword(self, keyword: ast.keyword, name: str) -> None:
        start, _ = self._span(keyword)
        self._edits.append((start, start + len(keyword.arg or ""), name.encode()))

    def remove_keyword(self, keyword: ast.keyword) -> None:
        """Take an argument away, with the comma before or after it."""
        start, end = self._span(keyword)
        before = re.search(rb",\s*$", self._data[:start])
        after = re.match(rb"\s*,\s*", self._data[end:])
        if before:
            start = before.start()
        elif after:
            end += after.end()
        self._edits.append((start, end, b""))

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
