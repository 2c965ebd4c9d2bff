"""The code blocks of the documentation: those that a test runs, and why it doesn't run the others.

A comment right above a block says so: `<!-- tested by tests/PATH -->` or `<!-- not run: WHY -->`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"

# Pages whose blocks of bash are run from top to bottom, and the tests that do it.
RUN = {
    "how-to/back-up.md": "tests/stack/test_documentation.py",
    "how-to/containers.md": "tests/containers/test_documentation.py",
    "how-to/modes.md": "tests/containers/test_documentation.py",
    "how-to/results.md": "tests/stack/test_documentation.py",
    "how-to/serve.md": "tests/stack/test_serving.py",
    "how-to/own-pipeline.md": "tests/stack/test_documentation.py",
    "how-to/store.md": "tests/stack/test_documentation.py",
    "tutorial/close-the-loop.md": "tests/stack/serving.py",
    "tutorial/first-pipeline.md": "tests/stack/test_documentation.py",
    "tutorial/from-archive-to-map.md": "tests/stack/test_documentation.py",
    "tutorial/to-production.md": "tests/stack/test_documentation.py",
}

_BLOCK = re.compile(
    r"(?ms)^(?:<!-- (?P<mark>[^\n]*) -->\n\n?)?```(?P<language>\w+)\n(?P<text>.*?)^```$"
)


@dataclass(frozen=True)
class Block:
    """A code block of a page, and the mark above it."""

    language: str
    text: str
    mark: str


def blocks(page: str, *languages: str) -> list[Block]:
    """The blocks of a page in docs/, in order, of these languages."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = [
        Block(match["language"], match["text"], match["mark"] or "")
        for match in _BLOCK.finditer(text)
    ]
    return [block for block in found if block.language in languages]


def commands_of(page: str) -> list[str]:
    """The commands of a page that a test runs, a block at a time."""
    return [block.text for block in blocks(page, "bash") if not block.mark]
