"""The section of a version in CHANGES.md."""

from __future__ import annotations

import re
from dataclasses import dataclass

_IN_DEVELOPMENT = ("in development", "unreleased")


@dataclass(frozen=True)
class Section:
    """A section: the rest of its heading, after the version, and its text."""

    rest: str
    text: str

    @property
    def in_development(self) -> bool:
        """Whether the heading says that the version isn't finished."""
        return any(words in self.rest.lower() for words in _IN_DEVELOPMENT)


def section(changes: str, version: str) -> Section | None:
    """Find the section of a version: `## 1.2.0 (2026-11-27)`, `## [1.2.0] - 2026-11-27`, ...

    Args:
        changes: the text of CHANGES.md.
    """
    # Not the section of 1.2.0rc1 or 1.2.0.1.
    heading = rf"(?m)^## *\[?v?{re.escape(version)}(?![\w.+!-])(?P<rest>.*)$"
    found = re.search(heading, changes)
    if not found:
        return None
    text = re.split(r"(?m)^## ", changes[found.end() :], maxsplit=1)[0]
    return Section(found["rest"], text.strip())
