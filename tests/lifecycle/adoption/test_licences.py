"""The license stays the project's, in its own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.adoption import licences, project, sources
from tasks.adoption.pyproject import parse
from tests.lifecycle.adoption.conftest import Template

MIT = "MIT License\n\nCopyright (c) 2020 Ada\n"


@pytest.mark.parametrize(
    ("declared", "file", "text", "answer", "licence"),
    [
        ('license = "GPL-3.0-or-later"', "COPYING", "GNU", "other", "GPL-3.0-or-later"),
        ('license = "EUPL-1.2"', None, "", "other", "EUPL-1.2"),
        ('license = { text = "MIT" }', None, "", "MIT", "MIT"),
        ('license = { text = "Our terms" }', None, "", "other", {"text": "Our terms"}),
        ('license = { file = "COPYING" }', "COPYING", "Use it on Sundays.", "other", None),
        ('license = { file = "LICENSE.md" }', "LICENSE.md", MIT, "MIT", "MIT"),
        ("", "LICENCE", MIT, "MIT", "MIT"),
        ("", "LICENCE.txt", "Use it on Sundays.", "other", None),
        ("", None, "", "other", None),
        ('classifiers = ["License :: OSI Approved :: MIT License"]', None, "", "MIT", "MIT"),
        ('classifiers = ["License :: Other/Proprietary License"]', None, "", "other", None),
    ],
)
def test_the_licence_is_that_of_the_project(
    template: Template,
    tmp_path: Path,
    declared: str,
    file: str | None,
    text: str,
    answer: str,
    licence: object,
) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "lakes"\n{declared}\n')
    if file:
        (tmp_path / file).write_text(text)
    found = sources.read(tmp_path)
    whole = project.combined(found).project
    assert licences.answer(tmp_path, whole) == answer
    facts = {"license-files": licences.files(tmp_path)} if file else {}
    merged = project.merge(template("pyproject.toml", "uv", answer), found, facts=facts)
    made = parse(merged.text)["project"]
    assert made.get("license") == licence
    if file:
        assert made["license-files"] == [file]
    assert made.get("classifiers") == whole.get("classifiers")
