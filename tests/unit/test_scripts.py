"""The scripts that users run with any `python3`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).resolve().parents[2] / "template"
TOO_NEW = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match, ast.AsyncFunctionDef)


@pytest.mark.parametrize("script", ["mlops_manager.py", "minikube_manager.py"])
def test_an_old_python_can_read_it(script: str) -> None:
    """It must report that it is too old, instead of failing with "invalid syntax"."""
    tree = ast.parse((TEMPLATE / script).read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, TOO_NEW)]
    assert not found, [ast.unparse(node) for node in found]
