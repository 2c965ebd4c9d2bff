"""Validators of free text say what is wrong and what to do, and accept all else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extensions import validators


@pytest.mark.parametrize(
    "name", ["Forest Watch", "Wälder 🌍", 'quote " and \\ and # and {{ x }}', "x", "3"]
)
def test_project_names(name: str) -> None:
    assert validators.project_name_problem(name) == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "needs a name"),
        ("  ", "needs a name"),
        (" x", "starts or ends with a space"),
        ("a\nb", "one plain line"),
        ("a\tb", "one plain line"),
        ("a\u200bb", "one plain line"),
        ("a\x00b", "one plain line"),
        ("x" * 81, "80 are allowed"),
        ("a\udc80", "not valid UTF-8"),
    ],
)
def test_refused_project_names(name: str, reason: str) -> None:
    assert reason in validators.project_name_problem(name)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=2000))
def test_a_description_may_hold_anything(text: str) -> None:
    assert validators.text_problem(text) == ""


def test_refused_descriptions() -> None:
    assert "2000 are allowed" in validators.text_problem("x" * 2001)
    assert "not valid UTF-8" in validators.text_problem("\ud83d")


@pytest.mark.parametrize("address", ["", "ada@example.org", "a.b+c@d.museum", "ü@example.org"])
def test_addresses(address: str) -> None:
    assert validators.email_problem(address) == ""


@pytest.mark.parametrize("address", ["ada", "@x", "a b@c.d", "Ada <a@b.c>", "a@b@c", "a@b\n"])
def test_refused_addresses(address: str) -> None:
    assert "is not an email address" in validators.email_problem(address)


@pytest.mark.parametrize(
    ("text", "valid"),
    [("2026-11-23", True), ("2026-2-3", False), ("20261123", False), ("today", False)],
)
def test_dates(text: str, valid: bool) -> None:
    assert (validators.date_problem(text) == "") is valid
