"""Hostile text survives in every format that a project uses."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from typing import Any, cast

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from extensions import texts

HOSTILE = [
    'quotes " and \' and """',
    "back\\slash \\n \\u0041",
    "# not a comment: {a: b} [c] - d",
    "{{ x }} {% y %} {# z #}",
    "emoji 🌍 and ümläut",
    "two\nlines\r\nthree\ttab",
    "\x00\x07\x1b\x7f\x85\u2028\u2029\ufeff\ufffe",
    "<script>alert(1)</script> &amp; <!-- -->",
    "---\n...\n",
    "",
]
PUNCTUATION = """`*_{}[]<>()#+-.!|~&;:/=$\\"' ab1\n"""
TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.text(PUNCTUATION)
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def hostile(test: Callable[[str], None]) -> Callable[[], None]:
    """Run a test on the texts above and on generated ones."""
    tested: Any = given(TEXT)(test)
    for text in HOSTILE:
        tested = example(text)(tested)
    return cast("Callable[[], None]", tested)


@hostile
def test_toml(text: str) -> None:
    assert tomllib.loads(f"x = {texts.as_toml(text)}") == {"x": text}


@hostile
def test_yaml(text: str) -> None:
    assert yaml.safe_load(f"x: {texts.as_yaml(text)} # end") == {"x": text}


@hostile
def test_python(text: str) -> None:
    assert ast.literal_eval(texts.as_python(text)) == text


@hostile
def test_json(text: str) -> None:
    assert json.loads(texts.as_json(text)) == text


@hostile
def test_one_line(text: str) -> None:
    line = texts.one_line(text)
    assert line.isprintable() and line == line.strip()
    if text.isprintable():
        assert line.split() == text.split()


@hostile
@example("1. one")
@example("12) twelve")
@example("- a")
@example("+")
@example("===")
@example("# a #")
@example("C#")
@example("![a](b) [c]: d")
@example("***a***")
@example("a | b")
@example("~~a~~")
@example("&copy; & &#42;")
def test_markdown_shows_the_text_itself(text: str) -> None:
    expected = texts.one_line(text)
    for prefix in ("# ", ""):
        tokens = MARKDOWN.parse(prefix + texts.as_markdown(text))
        inline = [token for token in tokens if token.type == "inline"]
        if not expected:
            assert all(not token.content for token in inline)
            continue
        assert [t.type for t in tokens] == (
            ["heading_open", "inline", "heading_close"]
            if prefix
            else ["paragraph_open", "inline", "paragraph_close"]
        )
        children = inline[0].children or []
        assert {child.type for child in children} <= {"text", "text_special"}
        assert "".join(child.content for child in children) == expected


def test_paragraphs() -> None:
    assert texts.as_paragraphs("a*b\n\n\nc") == "a\\*b\n\nc"


def test_python_literals_are_laid_out_as_ruff_does() -> None:
    source = "".join(f"x = {texts.as_python(text)}\n" for text in HOSTILE)
    ruff = [sys.executable, "-m", "ruff", "format", "--line-length=200", "-"]
    result = subprocess.run(ruff, input=source.encode(), capture_output=True, check=True)
    assert result.stdout.decode() == source


@pytest.mark.parametrize("text", HOSTILE)
def test_jinja_in_an_answer_is_not_run(text: str) -> None:
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(extensions=[texts.TextsExtension])
    rendered = environment.from_string("{{ text | as_toml }}").render(text=text)
    assert rendered == texts.as_toml(text)
