"""The registry of releases is complete and correct."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tests.lifecycle.conftest import RELEASES, git


def test_every_earlier_release_is_in_the_registry() -> None:
    text = (ROOT / "CHANGES.md").read_text(encoding="utf-8")
    present, *earlier = re.findall(r"(?m)^## (\S+)", text)
    assert [version for version in RELEASES if version != present] == earlier[::-1]


@pytest.mark.parametrize("version", RELEASES)
def test_a_release_is_in_our_history(version: str) -> None:
    commit = RELEASES[version]
    if not git(ROOT, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", check=False):
        pytest.skip("this clone has no history: git fetch --unshallow")
    git(ROOT, "merge-base", "--is-ancestor", commit, "HEAD")
    assert f'\nversion = "{version}"\n' in git(ROOT, "show", f"{commit}:pyproject.toml")
