"""Keep a TOML file readable while tables of it grow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import tomlkit
from tomlkit.items import AoT, Comment, Table, Whitespace

_HEADER = re.compile(r"(?m)(?<=[^\n])\n(?=\[\[?[\w\". -]+\]\]?$)")


def parse(text: str) -> tomlkit.TOMLDocument:
    """A document in which a comment above a table belongs to that table.

    tomlkit takes it for the end of the table before, where more keys would follow it.
    """
    document = tomlkit.parse(text)
    body = document.body
    for table in _tables(document):
        above = ""
        while body and isinstance(body[-1][1], (Comment, Whitespace)):
            above = body.pop()[1].as_string() + above
        table.trivia.indent = above + table.trivia.indent
        body = table.value.body
    return document


def _tables(container: Any) -> Iterator[Table]:
    """All tables that have a header, in their order."""
    for _, item in container.body:
        for each in item.body if isinstance(item, AoT) else [item]:
            if isinstance(each, Table):
                if not each.is_super_table():
                    yield each
                yield from _tables(each.value)


def dumps(document: tomlkit.TOMLDocument) -> str:
    """Its text, with an empty line above each table."""
    text = tomlkit.dumps(document)
    spaced = re.sub(r"\n{3,}", "\n\n", _HEADER.sub(_above, text)).rstrip("\n") + "\n"
    return spaced if tomlkit.parse(spaced).unwrap() == document.unwrap() else text


def _above(match: re.Match[str]) -> str:
    line = match.string[: match.start()].rpartition("\n")[2]
    return "\n" if line.startswith("#") else "\n\n"
