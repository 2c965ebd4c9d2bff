"""A person at a real terminal answers the questions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

pexpect = pytest.importorskip("pexpect", reason="needs a terminal (not on Windows)")

ENTER = "\r"
DOWN = "\x1b[B"


def test_a_session_of_questions(
    copier_template: Path, tmp_path: Path, quiet_environment: dict[str, str]
) -> None:
    session = pexpect.spawn(
        sys.executable,
        ["-m", "copier", "copy", "--trust", "--skip-tasks", str(copier_template), "project"],
        cwd=str(tmp_path),
        env={**quiet_environment, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        encoding="utf-8",
        timeout=120,
        dimensions=(50, 160),
    )

    def answer(question: str, keys: str = ENTER) -> None:
        session.expect_exact(question)
        session.send(keys)

    session.expect_exact("tasks/generate.py writes .env")  # told before anything is asked
    answer("What is the project called?", ENTER)  # empty: refused as typed
    session.expect_exact("A project needs a name")
    session.send("Wälder 2" + ENTER)
    answer("What is it about")
    answer("What is the author's name?")
    session.expect_exact("What is the author's email address?")
    session.send("\x15nobody" + ENTER)  # Ctrl-U empties the line
    session.expect_exact("is not an email address")
    session.send("\x15ada@example.org" + ENTER)
    session.expect_exact("What is the Python package called?")
    session.expect_exact("walder_2")
    session.send("\x15class" + ENTER)
    session.expect_exact("Try 'class_project'")
    session.send("\x15trees2" + ENTER)
    answer("Include the worked example?", "n")
    answer("Which tool manages", DOWN + DOWN + ENTER)
    answer("Which S3 object store", DOWN + ENTER)
    answer("Kubernetes", "y")
    answer("Where should continuous integration run?", DOWN + ENTER)
    answer("Where should releases", DOWN + ENTER)
    answer("Which license", DOWN + ENTER)
    answer("What should happen right after", "\x1b[A" + ENTER)
    session.expect_exact("python3 mlops_manager.py start")
    session.expect(pexpect.EOF)
    session.close()
    assert session.exitstatus == 0

    text = (tmp_path / "project" / ".copier-answers.yml").read_text(encoding="utf-8")
    stored = yaml.safe_load(text)
    expected = {
        "project_name": "Wälder 2",
        "author_email": "ada@example.org",
        "package_name": "trees2",
        "show_examples": False,
        "environment_manager": "conda",
        "object_store": "rustfs",
        "kubernetes": True,
        "ci": "gitlab",
        "deploy": "kubernetes",
        "license": "Apache-2.0",
        "setup": "none",
    }
    assert {name: stored[name] for name in expected} == expected
    assert stored["project_description"].startswith("Wälder 2: ")


def test_an_interrupted_session_writes_nothing(
    copier_template: Path, tmp_path: Path, quiet_environment: dict[str, str]
) -> None:
    session = pexpect.spawn(
        sys.executable,
        ["-m", "copier", "copy", "--trust", str(copier_template), "project"],
        cwd=str(tmp_path),
        env={**quiet_environment, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        encoding="utf-8",
        timeout=120,
    )
    session.expect_exact("What is the project called?")
    session.send("\x03")
    session.expect_exact("Execution stopped by user")
    session.expect(pexpect.EOF)
    session.close()
    assert session.exitstatus == 1
    assert not (tmp_path / "project").exists()
