"""Derived package names are always valid; wrong ones are refused with a suggestion."""

from __future__ import annotations

import builtins
import keyword
import re
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from extensions.naming import MAX_LENGTH, package_name, package_name_problem


@pytest.mark.parametrize(
    ("project_name", "expected"),
    [
        ("Forest Watch", "forest_watch"),
        ("Wälder & Wiesen: U-Net 2", "walder_wiesen_u_net_2"),
        ("Straße Øst Łódź", "strasse_ost_lodz"),
        ("unet2", "unet2"),
        ("3D Cities", "project_3d_cities"),
        ("ﬁeld ①", "field_1"),
        ("🌍", "my_project"),
        ("森林", "my_project"),
        ("", "my_project"),
        ("class", "class_project"),
        ("Airflow", "airflow_project"),
        ("tests", "tests_project"),
    ],
)
def test_derived_names(project_name: str, expected: str) -> None:
    assert package_name(project_name) == expected


@given(st.text())
@example("x" * 100)
@example("a" * 39 + " b")
@example("__init__")
@example("match")
def test_every_derived_name_is_valid(project_name: str) -> None:
    name = package_name(project_name)
    assert package_name_problem(name) == ""
    assert name.isidentifier() and name.isascii() and name == name.lower()
    assert len(name) <= MAX_LENGTH


@given(st.text())
def test_refusals_suggest_a_valid_name(name: str) -> None:
    if problem := package_name_problem(name):
        suggestion = problem.removeprefix("Try '").split("'")[0]
        assert package_name_problem(suggestion) == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is empty"),
        ("2unet", "starts with a digit"),
        ("Forest", "lower-case words"),
        ("wälder", "lower-case words"),
        ("forest-watch", "lower-case words"),
        ("forest watch", "lower-case words"),
        ("forest__watch", "lower-case words"),
        ("_forest", "lower-case words"),
        ("forest_", "lower-case words"),
        ("../x", "lower-case words"),
        ("x\n", "lower-case words"),
        ("x" * 41, "41 characters"),
        ("class", "keyword"),
        ("match", "keyword"),
        ("json", "standard library"),
        ("distutils", "standard library"),
        ("tomllib", "standard library"),
        ("print", "built-in"),
        ("tests", "folder or module"),
        ("dags", "folder or module"),
        ("gaiaflow", "folder or module"),
        ("airflow", "depends on"),
        ("mlflow", "depends on"),
        ("numpy", "depends on"),
        ("sklearn", "depends on"),
        ("scikit_learn", "depends on"),
        ("plumbum", "depends on"),
    ],
)
def test_refused_with_a_reason(name: str, reason: str) -> None:
    problem = package_name_problem(name)
    assert reason in problem
    assert re.match(r"Try '[a-z0-9_]+': ", problem)


@pytest.mark.parametrize("name", ["unet2", "x", "forest_watch", "s2_scenes", "a1_b2_c3"])
def test_accepted(name: str) -> None:
    assert package_name_problem(name) == ""


def test_whatever_this_python_reserves_is_refused() -> None:
    reserved = {*sys.stdlib_module_names, *keyword.kwlist, *keyword.softkwlist, *dir(builtins)}
    assert [name for name in reserved if not package_name_problem(name)] == []
