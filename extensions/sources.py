"""Store the template's location in a form that stays valid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment
from jinja2.ext import Extension


def with_whole_source(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers to store, with a relative path to the template made absolute.

    Copier stores the path as typed, and an update would resolve it from the current folder.
    """
    answers = dict(answers)
    folder = Path(str(answers.get("_src_path", ""))).expanduser()
    if "_src_path" in answers and not folder.is_absolute() and folder.exists():
        answers["_src_path"] = str(folder.resolve())
    return answers


class SourcesExtension(Extension):
    """Filters: with_whole_source."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["with_whole_source"] = with_whole_source
