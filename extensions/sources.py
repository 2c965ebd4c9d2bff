"""Where the template comes from, in a way that stays true."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment
from jinja2.ext import Extension


def with_whole_source(answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers to store, with the whole path of a template that was named by a relative one.

    Copier stores the path as it was typed, and would look for it from wherever an update is run.
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
