"""The scripts that a user calls with whatever `python3` is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).resolve().parents[2] / "template"
TOO_NEW = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match, ast.AsyncFunctionDef)


@pytest.mark.parametrize("script", ["mlops_manager.py", "minikube_manager.py"])
def test_an_old_python_can_read_it(script: str) -> None:
    """It has to say that it is too old, and says "invalid syntax" if it stumbles over a line."""
    tree = ast.parse((TEMPLATE / script).read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, TOO_NEW)]
    assert not found, [ast.unparse(node) for node in found]
