"""Pipelines in YAML: the DAG that they make, and what is said of those that are wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gaiaflow.operators.mapping import Output
from gaiaflow.operators.yaml_dags import PipelineError, load_yaml_pipelines

GOOD = """\
forest:
  schedule: "@daily"
  doc_md: Woods
  params:
    scene: {default: sample, type: string}
    plain: 3
  default_args: {owner: team, retries: 2, retry_delay: 5}
  task_groups:
    inner: {tooltip: a group}
  tasks:
    search:
      function: woods.search:search
      arguments: {scene: +params.scene, plus: ++not-a-task, nested: [{n: +params.plain}]}
    predict:
      function: woods.predict:predict
      expand: {tile: +search.tiles}
      timeout: 60
      task_group_name: inner
    report:
      function: woods.report:report
      arguments: {areas: +predict.area, all: +search}
      retries: 0
      resources: {memory: 2Gi}
    shell:
      operator: airflow.providers.standard.operators.empty.EmptyOperator
      dependencies: [report]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "dags"
    folder.mkdir()
    return folder


def test_a_pipeline(folder: Path) -> None:
    (folder / "forest.yml").write_text(GOOD, encoding="utf-8")
    [dag] = load_yaml_pipelines(folder).values()
    tasks: dict[str, Any] = dag.task_dict
    assert set(tasks) == {"search", "inner.predict", "report", "shell"}
    search, predict, report = tasks["search"], tasks["inner.predict"], tasks["report"]
    assert search.function_arguments["plus"] == "+not-a-task"
    assert dag.params.dump() == {"scene": "sample", "plain": 3}
    assert (search.owner, search.retries, report.retries) == ("team", 2, 0)
    assert search.retry_delay == timedelta(seconds=5)
    assert predict.execution_timeout == timedelta(seconds=60)
    assert predict.is_mapped
    assert predict.upstream_task_ids == {"search"}
    assert report.upstream_task_ids == {"search", "inner.predict"}
    assert isinstance(report.function_arguments["areas"], Output)
    assert report.spec.resources.memory == "2Gi"
    assert tasks["shell"].upstream_task_ids == {"report"}
    assert dag.doc_md == "Woods"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("function: woods.search", "functon: woods.search", "line 12, forest.tasks.search.functon"),
        ("schedule:", "schedul:", "line 2, forest.schedul: a DAG has no 'schedul'. Did you mean"),
        ("+search.tiles", "+serch.tiles", "line 16, forest.tasks.predict.expand.tile: there is no"),
        ("+params.scene", "+params.scen", "there is no parameter 'scen'. Did you mean scene?"),
        ("woods.report:report", "woods.report", "line 19, forest.tasks.report: Task 'report': "),
        ("memory: 2Gi", "memory: 2GB", "line 19, forest.tasks.report: Task 'report': memory must"),
        (
            "timeout: 60",
            "timeout: soon",
            "forest.tasks.predict.timeout: expected a number",
        ),
        ("arguments: {areas", "arguments: [{areas", "line 22: "),
        (
            "plain: 3",
            "plain: 3\n    plain: 4",
            "line 7: forest.params.plain is already set in line ",
        ),
        ("forest:\n", "- forest:\n", "line"),
        ("tasks:", "taks:", "forest.taks: a DAG has no 'taks'. Did you mean tasks?"),
        ("dependencies: [report]", "dependencies: [reprt]", "reprt"),
        ("operators.empty", "operators.nothing", "forest"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    (folder / "forest.yml").write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(PipelineError) as caught:
        load_yaml_pipelines(folder)
    assert str(caught.value).startswith("dags/forest.yml")
    assert says in str(caught.value)


def test_all_wrong_files_are_named(folder: Path) -> None:
    (folder / "a.yml").write_text("a: {}\n", encoding="utf-8")
    (folder / "b.yaml").write_text("b: 1\n", encoding="utf-8")
    with pytest.raises(PipelineError, match=r"(?s)dags/a\.yml, line 1, .*dags/b\.yaml, line 1, b"):
        load_yaml_pipelines(folder)


def test_an_id_that_is_used_twice_is_named(folder: Path) -> None:
    for name in ("a.yml", "b.yml"):
        (folder / name).write_text(GOOD, encoding="utf-8")
    with pytest.raises(PipelineError, match=r"dags/b\.yml: the DAG 'forest' is also in"):
        load_yaml_pipelines(folder)


def test_no_file_is_no_pipeline(folder: Path) -> None:
    assert load_yaml_pipelines(folder) == {}
