"""Filters that escape free text for TOML, YAML, Python, JSON and Markdown.

Whatever the text contains (quotes, backslashes, braces, line breaks, control characters), the file
stays valid and shows the same text.
"""

from __future__ import annotations

import json
import re

from jinja2 import Environment
from jinja2.ext import Extension

SHORT_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}

# Starts a construct of CommonMark or GitHub's dialect anywhere in a line.
MARKDOWN_INLINE = re.compile(r"([\\`*_{}\[\]<>|~$]|&(?=[#\w]))")
# Starts one only at the beginning of a line: a heading, list, quote or rule.
MARKDOWN_START = re.compile(r"^(#|[-+=:](?=\W|$)|\d{1,9}(?=[.)]))")
# A number sign after a space may close a heading.
MARKDOWN_CLOSING = re.compile(r"(?<= )#")


def one_line(text: str) -> str:
    """The text on one line: each run of whitespace and control characters becomes a space."""
    visible = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(visible.split())


def _quoted(text: str, quote: str) -> str:
    """Quote text with the escapes that TOML, YAML and Python share."""

    def escaped(char: str) -> str:
        if char == quote:
            return "\\" + char
        if char in SHORT_ESCAPES:
            return SHORT_ESCAPES[char]
        if char.isprintable():
            return char
        return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"

    return quote + "".join(map(escaped, text)) + quote


def as_toml(text: str) -> str:
    """A TOML basic string, with its quotes."""
    return _quoted(text, '"')


def as_yaml(text: str) -> str:
    """A YAML double-quoted scalar, with its quotes."""
    return _quoted(text, '"')


def as_python(text: str) -> str:
    """A Python string literal, with the quotes that `ruff format` would choose."""
    return _quoted(text, "'" if text.count('"') > text.count("'") else '"')


def as_json(text: str) -> str:
    """A JSON string, with its quotes."""
    return json.dumps(text, ensure_ascii=False)


def as_markdown(text: str) -> str:
    """One line of Markdown that shows the text literally, as a heading or a paragraph."""
    line = MARKDOWN_INLINE.sub(r"\\\1", one_line(text))
    line = MARKDOWN_CLOSING.sub(r"\\#", line)
    if match := MARKDOWN_START.match(line):
        at = match.end() if match[0].isdigit() else 0
        line = f"{line[:at]}\\{line[at:]}"
    return line


def as_paragraphs(text: str) -> str:
    """Markdown paragraphs, one per non-empty line."""
    return "\n\n".join(filter(None, map(as_markdown, text.splitlines())))


class TextsExtension(Extension):
    """Filters: one_line, as_toml, as_yaml, as_python, as_json, as_markdown, as_paragraphs."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        filters = (one_line, as_toml, as_yaml, as_python, as_json, as_markdown, as_paragraphs)
        environment.filters.update({function.__name__: function for function in filters})
