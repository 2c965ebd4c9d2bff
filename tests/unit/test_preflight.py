"""Checks before the first question that don't need a project."""

from __future__ import annotations

import sys

import pytest

from extensions import preflight


def test_an_old_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert preflight.python_problem() == ""
    monkeypatch.setattr(sys, "version_info", (3, 10, 14))
    monkeypatch.setattr(sys, "version", "3.10.14 (main)")
    assert "runs in Python 3.10.14" in preflight.python_problem()
