"""The DAGs of a project and their tasks, as far as the text of their files tells: nothing is run.

Ids that are computed are not found.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Outline:
    """A DAG: its file, and its tasks in the order in which the file has them."""

    file: Path
    tasks: tuple[str, ...]


def read(root: Path) -> dict[str, Outline]:
    """The DAGs in a project's folder `dags`, by id. Files that can't be read have none."""
    found: dict[str, Outline] = {}
    for file in sorted((root / "dags").rglob("*")):
        try:
            if file.suffix == ".py":
                tree = ast.parse(file.read_bytes())
                tasks = tuple(dict.fromkeys(_tasks(tree)))  # of all DAGs in the file
                found |= {name: Outline(file, tasks) for name in _dags(tree)}
            elif file.suffix in (".yml", ".yaml"):
                found |= _from_yaml(file)
        except (OSError, SyntaxError, ValueError, yaml.YAMLError):
            continue
    return found


def _dags(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) == "DAG":
            yield from _id(node, "dag_id")
        elif isinstance(node, ast.FunctionDef):
            yield from _decorated(node, "dag", "dag_id")


def _tasks(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) == "create_task":
            yield from _id(node, "task_id")
        elif isinstance(node, ast.Call):  # any operator
            yield from _texts(key.value for key in node.keywords if key.arg == "task_id")
        elif isinstance(node, ast.FunctionDef):
            yield from _decorated(node, "task", "task_id")


def _called(node: ast.expr) -> str:
    """The name of a called function or class, without its module."""
    function = node.func if isinstance(node, ast.Call) else node
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _id(call: ast.Call, keyword: str) -> Iterator[str]:
    """The id that a call gives: its first argument, or this one."""
    named = [each.value for each in call.keywords if each.arg == keyword]
    yield from _texts(named or call.args[:1])


def _decorated(function: ast.FunctionDef, decorator: str, keyword: str) -> Iterator[str]:
    """The id of a function with a decorator: what that says, or the function's name."""
    for each in function.decorator_list:
        if _called(each) == decorator:
            given = list(_id(each, keyword)) if isinstance(each, ast.Call) else []
            yield from given or [function.name]


def _texts(values: Iterator[ast.expr] | list[ast.expr]) -> Iterator[str]:
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.value


def _from_yaml(file: Path) -> dict[str, Outline]:
    """The pipelines in a YAML file, as `load_yaml_pipelines` reads them."""
    loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {
        str(name): Outline(file, tuple(map(str, pipeline["tasks"])))
        for name, pipeline in (loaded if isinstance(loaded, dict) else {}).items()
        if isinstance(pipeline, dict) and isinstance(pipeline.get("tasks"), dict)
    }
