"""One version, wherever it stands."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def found(path: str, pattern: str) -> str:
    match = re.search(pattern, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert match, f"{path} has no version"
    return match[1]


def test_the_version_is_the_same_everywhere() -> None:
    ours = found("pyproject.toml", r'^version = "(.+)"')
    assert found("template/gaiaflow/__init__.py", r'^__version__ = "(.+)"') == ours
    assert found("CHANGES.md", r"^## (\S+)") == ours
