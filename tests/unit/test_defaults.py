"""Defaults from git are valid, whatever git's configuration, and without git."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plumbum import local as plumbum_local

from extensions import defaults, validators

Configure = Callable[[str], object]
local: Any = plumbum_local


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Configure]:
    """Set git's only configuration, outside of any repository."""
    config = tmp_path / "gitconfig"
    monkeypatch.setitem(local.env, "GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setitem(local.env, "GIT_CONFIG_NOSYSTEM", "1")
    defaults._git_user.cache_clear()
    with local.cwd(tmp_path):
        yield config.write_text
    defaults._git_user.cache_clear()


def test_name_and_address(configure: Configure) -> None:
    configure('[user]\nname = "Ada \\"A\\" Lövelace"\nemail = a@b.org\n')
    assert defaults.git_user("name") == 'Ada "A" Lövelace'
    assert defaults.git_user("email") == "a@b.org"


@pytest.mark.parametrize(
    "text",
    ["", "[user]\nname =\n", '[user]\nname = "a\\tb\\n c"\n', f"[user]\nname = {'x' * 99}\n"],
)
def test_defaults_pass_their_own_check(configure: Configure, text: str) -> None:
    configure(text)
    assert validators.line_problem(defaults.git_user("name")) == ""
    assert defaults.git_user("email") == ""


def test_without_git(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("[user]\nname = Ada\n")
    monkeypatch.setitem(local.env, "PATH", "/nowhere")
    assert defaults.git_user("name") == ""
