"""Commands that make no sense, and settings that can't be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Project, execute


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["strat"], "There is no command 'strat'"),
        (["start", "--service", "mlfow"], "There is no service 'mlfow'. Did you mean mlflow"),
        (["logs", "xyz"], "There is no service 'xyz'."),
        (["open", "object-store"], "object-store has no page"),
        (["start", "--nonsense"], "nonsense"),
        (["run"], "DAG_ID"),
        ([], "start"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_wrong_use(stack: Project, arguments: list[str], says: str) -> None:
    done = stack.manage(*arguments)
    assert done.code == 2, done
    assert says.lower() in (done.err + done.out).lower()
    assert "Traceback" not in done.err


@pytest.fixture
def env_file(stack: Project) -> Iterator[Path]:
    """The settings, to be spoiled by one test."""
    before = stack.env_file.read_bytes()
    yield stack.env_file
    stack.env_file.write_bytes(before)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text + "\nnonsense secret\n", "line {last}: expected NAME=value"),
        (lambda text: text + "\nS3_BUCKET=again\n", "line {last}: S3_BUCKET is already set"),
        (lambda text: text.replace("S3_BUCKET=", "S3_BUCKET='"), "the quote in the value of S3"),
        (lambda text: text.replace("MLFLOW_PORT=", "MLFLOW_PORT=x"), "MLFLOW_PORT must be a whole"),
        (lambda text: text.replace("S3_BUCKET=", "# "), ".env lacks S3_BUCKET"),
        (lambda text: "", ".env lacks GAIAFLOW_MODE"),
    ],
    ids=["no assignment", "twice", "open quote", "port", "missing", "empty"],
)
@pytest.mark.parametrize("command", ["status", "start"])
def test_settings_that_cannot_be_read(
    stack: Project, env_file: Path, spoil: object, says: str, command: str
) -> None:
    assert callable(spoil)
    spoiled = spoil(env_file.read_text(encoding="utf-8"))
    env_file.write_text(spoiled, encoding="utf-8")
    done = stack.manage(command)
    assert done.code == 1, done
    assert says.format(last=len(spoiled.splitlines())) in done.err
    assert "Traceback" not in done.err
    assert "secret" not in done.err.replace("secrets", "")
    assert env_file.read_text(encoding="utf-8") == spoiled


def test_settings_that_are_no_text(stack: Project, env_file: Path) -> None:
    env_file.write_bytes(b"GAIAFLOW_MODE=dev\nAIRFLOW_PORT=\xff\n")
    done = stack.manage("status")
    assert done.code == 1, done
    assert ".env, line 2: not UTF-8 text" in done.err


def test_a_spoiled_identity(stack: Project) -> None:
    file = stack.root / "pyproject.toml"
    before = file.read_bytes()
    try:
        file.write_bytes(before.replace(b"[tool.gaiaflow]", b"[tool.gaiaflow"))
        done = stack.manage("status")
    finally:
        file.write_bytes(before)
    assert done.code == 1, done
    assert "pyproject.toml cannot be read: " in done.err
    assert "Traceback" not in done.err


def old_pythons() -> list[str]:
    """The interpreters of this machine that are older than 3.11."""
    versions = Path.home().glob(".pyenv/versions/*/bin/python")
    names = [Path("/usr/bin") / name for name in ("python2.7", "python3.8", "python3.9")]
    found = {}
    for path in [*versions, *names]:
        if path.exists():
            shown = execute(path, "-c", "import sys; print(sys.version_info[:2])", cwd=Path("/"))
            version = tuple(map(int, shown.out.strip("()\n").split(",")))
            if version < (3, 11):
                found[version] = str(path)
    return [found[version] for version in sorted(found)]


def test_a_python_that_is_too_old(stack: Project) -> None:
    pythons = old_pythons()
    if not pythons:
        pytest.skip("no Python older than 3.11 here")
    for python in pythons:
        done = stack.manage("status", python=python)
        assert done.code == 1, done
        assert "this needs Python 3.11 or newer, but this is" in done.err
        assert "Traceback" not in done.err
