"""Pipelines in YAML, `dags/*.yml`: Astronomer's dag-factory with the tasks of `create_task`.

    forest:
      schedule: "@daily"
      params:
        scene: {default: sample, type: string}
      tasks:
        ingest:
          function: my_package.dataloader.ingest:ingest
          arguments: {scene: +params.scene}
        predict:
          function: my_package.predict.scene:predict
          arguments: {model: +train.model}    # an entry of another task's result
          expand: {tile: +ingest.tiles}       # once for each item

Tasks (`function` and its options) are ours; everything else works as in dag-factory.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import DAG, Param

from gaiaflow.operators.create_task import create_task

_REFERENCE = re.compile(r"\+(?P<task>[\w-]+)(\.(?P<entry>.+))?")
_SECONDS = {"timeout", "retry_delay"}
_TASK_KEYS = {
    *("function", "arguments", "expand", "env", "secrets", "resources", "image", "mode"),
    *("retries", "retry_delay", "timeout", "trigger_rule", "pool", "pool_slots", "owner"),
    *("priority_weight", "depends_on_past", "doc_md", "dependencies", "task_group_name"),
}
_DAG_KEYS = {
    *("dag_display_name", "description", "doc_md", "doc_md_file_path", "tags", "owner_links"),
    *("schedule", "timetable", "start_date", "end_date", "timezone", "catchup", "params"),
    *("max_active_runs", "max_active_tasks", "dagrun_timeout", "is_paused_upon_creation"),
    *("default_args", "tasks", "task_groups", "user_defined_macros", "access_control"),
    *("on_success_callback", "on_failure_callback", "template_searchpath"),
    "render_template_as_native_obj",
}
_KEPT_BY_US = {"dependencies", "task_group_name"}  # which dag-factory also needs
_OPERATOR = f"{__name__}.YamlTask"

Path_ = tuple[str | int, ...]


class PipelineError(Exception):
    """A YAML file is invalid. The message contains file, line and key."""


def load_yaml_pipelines(path: Path) -> dict[str, DAG]:
    """Load the DAGs of a YAML file or folder: `globals().update(load_yaml_pipelines(PATH))`.

    Returns:
        The DAGs by id.

    Raises:
        PipelineError: a file is invalid; the message lists all errors with file, line and key.
    """
    files = sorted([*path.glob("*.yml"), *path.glob("*.yaml")]) if path.is_dir() else [path]
    dags: dict[str, DAG] = {}
    problems = []
    for file in files:
        if file.stem == "defaults":  # dag-factory's defaults for all of them
            continue
        try:
            made = read_pipelines(file)
        except PipelineError as error:
            problems.append(str(error))
            continue
        for dag_id in dags.keys() & made.keys():
            problems.append(f"{_shown(file)}: the DAG {dag_id!r} is also in another file.")
        dags |= made
    if problems:
        raise PipelineError("\n".join(problems))
    return dags


def read_pipelines(file: Path) -> dict[str, DAG]:
    """Load the DAGs of one YAML file, by id.

    Raises:
        PipelineError: the file is invalid; the message contains file, line and key.
    """
    source = _Source.read(file)
    config = source.value
    if not isinstance(config, dict):
        raise source.error((), "expected DAGs as NAME: {tasks: ...}")
    checked = {
        dag_id: _dag(source, dag_id, dag) if dag_id != "default" else dag
        for dag_id, dag in config.items()
    }
    os.environ["DO_NOT_TRACK"] = "1"  # don't report usage without asking
    import dagfactory  # on demand: it takes longer than all other DAG files together

    made: dict[str, DAG] = {}
    for dag_id in checked.keys() - {"default"}:
        part = {name: checked[name] for name in ("default", dag_id) if name in checked}
        try:
            dagfactory.load_yaml_dags(made, config_dict=part, defaults_config_path=str(file.parent))
        except Exception as error:
            raise source.error(_place(checked, dag_id, str(error)), str(error)) from error
    for dag in made.values():  # dag-factory adds its configuration as a Python dict
        dag.doc_md = (dag.doc_md or "").partition("## YML DAG")[0].strip() or None
    return made


class YamlTask:
    """What dag-factory takes for an operator class: creates tasks with `create_task`."""

    def __new__(cls, task_id: str, dag: DAG, spec: Mapping[str, Any], **options: Any) -> Any:
        """Create a task of the DAG, mapped over a list if it has `expand`."""
        given = {name: _resolved(dag, value) for name, value in spec.items()}
        for name in _SECONDS & given.keys():
            given[name] = timedelta(seconds=given[name])
        lists = given.pop("expand", None)
        with dag, options.get("task_group") or nullcontext():
            task = create_task(task_id, **given)
            return task.expand(**lists) if lists else task


@dataclass(frozen=True)
class _Source:
    """The content of a YAML file, and the line of each key in it."""

    file: Path
    value: Any
    lines: Mapping[Path_, int]

    @classmethod
    def read(cls, file: Path) -> _Source:
        """Read a file.

        Raises:
            PipelineError: it is not YAML, or has a key twice.
        """
        lines: dict[Path_, int] = {}
        try:
            text = file.read_text(encoding="utf-8")
            loader = yaml.SafeLoader(text)
            node = loader.get_single_node()
            for path, line in _walk(node, ()):
                if path in lines and path:
                    raise PipelineError(
                        f"{_shown(file)}, line {line}: {_dotted(path)} is already set in line "
                        f"{lines[path]}."
                    )
                lines[path] = line
            value = loader.construct_document(node) if node else {}
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f", line {mark.line + 1}" if mark else ""
            raise PipelineError(f"{_shown(file)}{where}: {error.problem}.") from None
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise PipelineError(f"{_shown(file)}: {error}") from None
        return cls(file, value, lines)

    def error(self, path: Path_, what: str) -> PipelineError:
        """An error with its location: the line of a key, or of the nearest one around it."""
        near = path
        while near not in self.lines and near:
            near = near[:-1]
        key = f", {_dotted(path)}" if path else ""
        return PipelineError(f"{_shown(self.file)}, line {self.lines.get(near, 1)}{key}: {what}")


def _walk(node: yaml.Node | None, path: Path_) -> Iterator[tuple[Path_, int]]:
    """Yield each key with its line number, which starts at 1."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, key.value)
            yield inner, key.start_mark.line + 1
            yield from _walk(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*path, index))


def _dag(source: _Source, dag_id: str, dag: Any) -> dict[str, Any]:
    """Convert a DAG's configuration for dag-factory.

    Raises:
        PipelineError: it is invalid.
    """
    here: Path_ = (dag_id,)
    if not isinstance(dag, dict):
        raise source.error(here, "expected a DAG as {schedule: ..., tasks: ...}")
    _known(source, here, dag, _DAG_KEYS, "a DAG")
    tasks, params = dag.get("tasks"), dag.get("params") or {}
    if not isinstance(tasks, dict) or not tasks:
        raise source.error((*here, "tasks"), "expected tasks as NAME: {function: ...}")
    for name, task in tasks.items():
        if not isinstance(task, dict):
            raise source.error((*here, "tasks", name), "expected a task as {function: ...}")
    made = {
        name: _task(source, (*here, "tasks", name), task, tasks, params)
        if "operator" not in task and "decorator" not in task
        else dict(task)
        for name, task in tasks.items()
    }
    defaults = dict(dag.get("default_args") or {})
    if isinstance(defaults.get("retry_delay"), (int, float)):
        defaults["retry_delay"] = timedelta(seconds=defaults["retry_delay"])
    values = {name: _param(value) for name, value in params.items()}
    given = {**dag, "default_args": defaults, "params": values, "tasks": made}
    return {"schedule": None, "catchup": False, **given}  # as in a Python DAG


def _task(
    source: _Source,
    here: Path_,
    task: dict[str, Any],
    tasks: Mapping[str, Any],
    params: Mapping[str, Any],
) -> dict[str, Any]:
    _known(source, here, task, _TASK_KEYS, "a task")
    if "function" not in task:
        raise source.error(here, "a task needs a function such as package.module:function")
    for name in ("arguments", "expand", "env"):
        if not isinstance(task.get(name, {}), dict):
            raise source.error((*here, name), "expected NAME: value")
    for name in _SECONDS & task.keys():
        if not isinstance(task[name], (int, float)):
            raise source.error((*here, name), "expected a number of seconds")
    needs = list(task.get("dependencies", []))
    for path, name, entry in _references(task, here):
        if name == "params":
            _one_of(source, path, entry or "", params, "parameter")
        else:
            _one_of(source, path, name, tasks, "task")
            needs.append(name)
    for name in needs:
        if name not in tasks:
            raise source.error((*here, "dependencies"), f"there is no task {name!r}")
    spec = {name: value for name, value in task.items() if name not in _KEPT_BY_US}
    kept = {name: value for name, value in task.items() if name in _KEPT_BY_US}
    return {**kept, "operator": _OPERATOR, "spec": spec, "dependencies": list(dict.fromkeys(needs))}


def _references(value: Any, path: Path_) -> Iterator[tuple[Path_, str, str | None]]:
    """Yield the references in a task: their place, the task, and the entry of its result."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _references(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _references(part, (*path, index))
    elif isinstance(value, str) and (match := _REFERENCE.fullmatch(value)):
        yield path, match["task"], match["entry"]


def _resolved(dag: DAG, value: Any) -> Any:
    """Replace the references in a value with what they stand for."""
    if isinstance(value, Mapping):
        return {key: _resolved(dag, part) for key, part in value.items()}
    if isinstance(value, list):
        return [_resolved(dag, part) for part in value]
    if not isinstance(value, str) or not value.startswith("+"):
        return value
    match = _REFERENCE.fullmatch(value)
    if match is None:  # ++ is a plus
        return value[1:] if value.startswith("++") else value
    if match["task"] == "params":
        return dag.param(match["entry"])
    name = match["task"]
    found = [id for id in dag.task_dict if id == name or id.endswith(f".{name}")]
    output: Any = dag.task_dict[found[0]].output
    return output[match["entry"]] if match["entry"] else output


def _param(value: Any) -> Any:
    """`{default: 1, type: integer}` is a parameter with a schema, anything else a default."""
    return Param(**value) if isinstance(value, dict) and "default" in value else value


def _known(
    source: _Source, here: Path_, given: Mapping[str, Any], known: set[str], what: str
) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f" Did you mean {near[0]}?" if near else f" It has: {', '.join(sorted(known))}."
            raise source.error((*here, name), f"{what} has no {name!r}.{hint}")


def _one_of(source: _Source, path: Path_, name: str, known: Iterable[str], what: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise source.error(path, f"there is no {what} {name!r}.{hint}")


def _place(config: Mapping[str, Any], dag_id: str, message: str) -> Path_:
    """The task that an error of create_task or dag-factory names, otherwise the DAG."""
    for name in config[dag_id]["tasks"]:
        if repr(name) in message or f"<{name}>" in message:
            return (dag_id, "tasks", name)
    return (dag_id,)


def _dotted(path: Path_) -> str:
    return ".".join(map(str, path))


def _shown(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"
