"""Render releases as Copier would generate them, without the user's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from plumbum import local

from tasks.ownership import Owners, owners

ANSWERS = ".copier-answers.yml"
AS_STORED = ("-c", "core.autocrlf=false", "-c", "core.eol=lf")  # line endings as in the repository


def show(source: Path, ref: str, path: str) -> str:
    """The text of a file in a release; empty if it doesn't exist."""
    code, text, _ = local["git"]["-C", str(source), "show", f"{ref}:{path}"].run(retcode=None)
    return str(text) if code == 0 else ""


def questions(copier_yml: str) -> set[str]:
    """The names of a release's questions and computed values."""
    return {name for name in yaml.safe_load(copier_yml) if not name.startswith("_")}


def read_answers(text: bytes | str) -> dict[str, Any]:
    """The answers in an answers file, without Copier's own entries."""
    stored = yaml.safe_load(text) or {}
    return {name: value for name, value in stored.items() if not name.startswith("_")}


def render(
    source: Path, ref: str, answers: Mapping[str, Any], target: Path, theirs: Sequence[Owners]
) -> None:
    """Render the framework and shared files of a release into a new folder.

    Args:
        source: a git repository of the template.
        ref: a commit or tag of it.
        answers: the answers to that release's questions.
        target: the folder.
        theirs: a path that any of these assigns to the user is left out.
    """
    from copier import run_copy

    archive = local["git"][AS_STORED]["-C", str(source), "archive", ref]
    with TemporaryDirectory(prefix="gaiaflow-") as folder:
        (archive | local["tar"]["-x", "-C", folder])()  # no repository, so Copier clones nothing
        known = questions((Path(folder) / "copier.yml").read_text(encoding="utf-8"))
        excluded = [line for each in theirs for line in (*each.user, *each.generated)]
        run_copy(
            folder,
            target,
            data={name: value for name, value in answers.items() if name in known},
            exclude=excluded,
            defaults=True,
            unsafe=True,
            skip_tasks=True,
            quiet=True,
        )


def owners_of(source: Path, ref: str, answers: Mapping[str, Any]) -> Owners:
    """The classes of a release."""
    return owners(show(source, ref, "copier.yml"), answers)
