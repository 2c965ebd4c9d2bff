"""Versions come from the lock, for the right Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.version import Version

from extensions import pins

LOCK = """\
# made by a test
boto3==1.44.5
numpy==2.4.6 ; python_full_version == '3.11.*'
numpy==2.5.5 ; python_full_version >= '3.12'
scikit-learn==1.9.1 ; python_full_version >= '3.12'
    # via something
"""


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "project.txt"
    path.write_text(LOCK)
    monkeypatch.setattr(pins, "LOCK", path)
    pins._locked.cache_clear()
    monkeypatch.setattr(pins, "_locked", pins._locked.__wrapped__)


@pytest.mark.usefixtures("lock")
@pytest.mark.parametrize(
    ("name", "python", "version"),
    [
        ("boto3", "3.12", "1.44.5"),
        ("numpy", "3.11", "2.4.6"),
        ("numpy", "3.12", "2.5.5"),
        ("numpy", "3.13", "2.5.5"),
        ("Scikit_Learn", "3.12", "1.9.1"),
    ],
)
def test_the_line_for_this_python(name: str, python: str, version: str) -> None:
    assert pins.pin(name, python) == version


@pytest.mark.usefixtures("lock")
@pytest.mark.parametrize(("name", "python"), [("pandas", "3.12"), ("scikit-learn", "3.11")])
def test_a_missing_pin_is_an_error(name: str, python: str) -> None:
    with pytest.raises(KeyError, match=f"no version of {name}"):
        pins.pin(name, python)


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_the_real_lock(python: str) -> None:
    assert Version(pins.pin("numpy", python)) >= Version("2")
