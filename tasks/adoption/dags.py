"""Rewrite the original's DAG files for Airflow 3; everything else in them stays."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import libcst as cst
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor, RemoveImportsVisitor

from tasks.adoption import python_code
from tasks.migrations.steps import RenamedImport

_STANDARD = "airflow.providers.standard"

# Where names from Airflow 2 and the original are now.
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
# Removed modules, and what to use instead.
GONE = {
    "airflow.operators.subdag": "Airflow 3 has no SubDagOperator: use a TaskGroup",
    "airflow.contrib": "Airflow 3 has no airflow.contrib: use a provider",
    "utils": "the original's utils.py is gone: use minikube_manager.py gateway",
    "docker_config": "the original's docker_config.py is gone: use mlops_manager.py image",
}
# The arguments of a PythonOperator, and what task_factory calls them.
_ARGUMENTS = {"task_id": "task_id", "op_kwargs": "func_kwargs", "retries": "retries", "dag": "dag"}


@dataclass(frozen=True)
class Rewritten:
    """A DAG file for Airflow 3, and notes for review."""

    data: bytes
    notes: list[str]


def rewrite(data: bytes, package: str, knows: Callable[[str], bool] | None = None) -> Rewritten:
    """Rewrite imports, `schedule_interval`, and PythonOperators that call the package.

    The package is in the project's environment, not in Airflow's, so a PythonOperator with one of
    its functions becomes a `task_factory` call, if that supports all of its arguments.

    Args:
        data: the file.
        package: the project's package.
        knows: whether the parameters of a function ("package.module:function") are known.
    """
    for step in IMPORTS:
        data = step.code("dag.py", data)
    module = python_code.parse(data)
    if module is None:
        return Rewritten(data, ["can't be parsed as Python; nothing was changed"])
    imports = _Imports()
    module.visit(imports)
    functions = {
        local: f"{name}:{function}"
        for local, (name, function) in imports.names.items()
        if name.split(".")[0] == package
    }
    calls = _Calls(functions, knows or (lambda function: True))
    module = module.visit(calls)
    if calls.made:
        context = CodemodContext()
        AddImportsVisitor.add_needed_import(context, "task_factory", "task_factory")
        for local in functions:
            name, function = imports.names[local]
            alias = local if local != function else None
            RemoveImportsVisitor.remove_unused_import(context, name, function, alias)
        module = AddImportsVisitor(context).transform_module(module)
        module = RemoveImportsVisitor(context).transform_module(module)
    left = _Imports()
    module.visit(left)
    notes = list(calls.notes)
    if any(name.split(".")[0] == package for name in left.modules):
        notes.append(f"imports {package}, which Airflow's environment does not have")
    notes += [
        why
        for gone, why in GONE.items()
        if any(name == gone or name.startswith(f"{gone}.") for name in left.modules)
    ]
    return Rewritten(module.bytes, sorted({*notes, *_scripts(data)}))


class _Imports(cst.CSTVisitor):
    """What a file imports."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.names: dict[str, tuple[str, str]] = {}  # local name -> module, name

    def visit_Import(self, node: cst.Import) -> None:
        self.modules |= {alias.evaluated_name for alias in node.names}

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        module = python_code.source_of(node.module) if node.module and not node.relative else ""
        self.modules.add(module)
        if not isinstance(node.names, cst.ImportStar):
            for alias in node.names:
                local = alias.evaluated_alias or alias.evaluated_name
                self.names[local] = (module, alias.evaluated_name)


class _Calls(cst.CSTTransformer):
    """Rewrite calls that Airflow 3 no longer accepts."""

    def __init__(self, functions: Mapping[str, str], knows: Callable[[str], bool]) -> None:
        self.functions = functions
        self.knows = knows
        self.notes: list[str] = []
        self.made = False  # a task_factory call

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:
        called = python_code.source_of(updated_node.func).rpartition(".")[2]
        named = {each.keyword.value: each for each in updated_node.args if each.keyword}
        if called in ("DAG", "dag") and "schedule_interval" in named:
            old = named["schedule_interval"]
            new = old.with_changes(keyword=cst.Name("schedule"))
            args = [new if each is old else each for each in updated_node.args]
            return updated_node.with_changes(args=args)
        if called == "KubernetesPodOperator":
            self.notes.append("KubernetesPodOperator: use create_task, which can use pods")
        if called in ("create_task", "task_factory"):
            self._look_at(called, named)
        if called == "PythonOperator" and "python_callable" in named:
            return self._python(updated_node, named)
        return updated_node

    def _look_at(self, called: str, named: Mapping[str, cst.Arg]) -> None:
        """Note arguments that the original's functions took and ours don't."""
        if "image" in named:
            image = python_code.source_of(named["image"].value)
            self.notes.append(f"{called}(image={image}): tasks now run in the project's image")
        for name in {"mode", "env"} & named.keys():
            mode = python_code.source_of(named[name].value)
            if mode.strip("\"'") != "dev":
                self.notes.append(f"{called}({name}={mode}): GAIAFLOW_MODE in .env applies to all")
        if "func_args" in named and "func_path" in named:
            path = python_code.source_of(named["func_path"].value)
            if not self.knows(path.strip("\"'")):
                self.notes.append(
                    f"{called}(func_path={path}, func_args=...): use func_kwargs instead"
                )

    def _python(self, node: cst.Call, named: dict[str, cst.Arg]) -> cst.Call:
        function = python_code.source_of(named["python_callable"].value)
        unknown = named.keys() - {*_ARGUMENTS, "python_callable", "provide_context"}
        if function not in self.functions or unknown or len(named) < len(node.args):
            if function in self.functions:
                self.notes.append(f"PythonOperator of {function}: use gaiaflow.create_task instead")
            # Airflow 3 always provides the context.
            kept = [each for each in node.args if each is not named.get("provide_context")]
            return (
                node.with_changes(args=_ended(kept, node)) if len(kept) < len(node.args) else node
            )
        self.made = True
        path = cst.SimpleString(f'"{self.functions[function]}"')
        made = []
        for each in node.args:
            name = each.keyword.value if each.keyword else ""
            if name == "python_callable":
                made.append(each.with_changes(keyword=cst.Name("func_path"), value=path))
            elif name in _ARGUMENTS:
                made.append(each.with_changes(keyword=cst.Name(_ARGUMENTS[name])))
        return node.with_changes(func=cst.Name("task_factory"), args=_ended(made, node))


def _ended(arguments: Sequence[cst.Arg], node: cst.Call) -> list[cst.Arg]:
    """The arguments, with the last one ending as the call's last argument did."""
    if not arguments:
        return []
    last = node.args[-1]
    ended = arguments[-1].with_changes(
        comma=last.comma, whitespace_after_arg=last.whitespace_after_arg
    )
    return [*arguments[:-1], ended]


def rewrite_yaml(data: bytes, package: str) -> Rewritten:
    """Convert a dag-factory file to what `gaiaflow.load_yaml_pipelines` reads."""
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
    """Whether a DAG file only loads YAML with an old dag-factory."""
    return b"dagfactory.DagFactory(" in data and not re.search(rb"\bDAG\(", data)


def _scripts(data: bytes) -> list[str]:
    return ["AIRFLOW_HOME is no longer the project's folder"] if b"AIRFLOW_HOME" in data else []


def needs_factory(data: bytes) -> bool:
    """Whether a DAG file creates tasks with the original's functions."""
    module = python_code.parse(data)
    imports = _Imports()
    if module:
        module.visit(imports)
    return "task_factory" in imports.modules
