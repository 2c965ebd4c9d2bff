"""Keep a TOML file readable while its tables grow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import tomlkit
from tomlkit.items import AoT, Comment, Table, Whitespace

_HEADER = re.compile(r"(?m)(?<=[^\n])\n(?=\[\[?[\w\". -]+\]\]?$)")


def parse(text: str) -> tomlkit.TOMLDocument:
    """Parse a document, and attach comments above a table to that table.

    tomlkit attaches them to the previous table, where new keys would follow them.
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
    """All tables with a header, in order."""
    for _, item in container.body:
        for each in item.body if isinstance(item, AoT) else [item]:
            if isinstance(each, Table):
                if not each.is_super_table():
                    yield each
                yield from _tables(each.value)


def dumps(document: tomlkit.TOMLDocument) -> str:
    """The document's text, with an empty line above each table."""
    text = tomlkit.dumps(document)
    spaced = re.sub(r"\n{3,}", "\n\n", _HEADER.sub(_above, text)).rstrip("\n") + "\n"
    return spaced if tomlkit.parse(spaced).unwrap() == document.unwrap() else text


def _above(match: re.Match[str]) -> str:
    line = match.string[: match.start()].rpartition("\n")[2]
    return "\n" if line.startswith("#") else "\n\n"
