"""What an update did, for a person at a terminal and for a pull request."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tasks.merging import Merge
from tasks.rendering import show

SHOWN = 12  # paths in one line of the terminal
_HEADING = re.compile(r"(?m)^## (\S+).*$")


def name(ref: str) -> str:
    """A release as people call it: `0.2.0`, or a commit."""
    return ref.removeprefix("v")


def changes(source: Path, old: str) -> str:
    """The sections of CHANGES.md that the old release did not have, newest first."""
    known = set(_HEADING.findall(show(source, old, "CHANGES.md")))
    text = show(source, "HEAD", "CHANGES.md")
    found = list(_HEADING.finditer(text))
    ends = [*(match.start() for match in found), len(text)][1:]
    sections = [
        text[match.start() : end].strip()
        for match, end in zip(found, ends, strict=True)
        if match[1] not in known
    ]
    return "\n\n".join(sections)


@dataclass(frozen=True)
class Report:
    """All that there is to say after an update."""

    old: str
    new: str
    merge: Merge
    code: list[str]
    settings: list[str]
    aside: list[str]
    changes: str

    def sections(self) -> list[tuple[str, list[str]]]:
        """What happened, and to which paths; only what did happen."""
        merge = self.merge
        listed = [
            ("CONFLICT: both versions stand in the file", merge.conflicts),
            ("merged: your changes and the release's", merge.merged),
            ("kept, because you changed them; the release dropped them", merge.kept),
            ("stay deleted, as you wanted; the release changed them", merge.gone),
            ("updated", merge.updated),
            ("new", merge.added),
            ("removed", merge.removed),
            ("imports rewritten in your code", self.code),
            ("settings in .env", self.settings),
            ("put aside: somebody wrote these while the update ran", self.aside),
        ]
        return [(title, paths) for title, paths in listed if paths]

    def text(self) -> str:
        """For a terminal."""
        sections = self.sections()
        if not sections and self.old == self.new:
            return f"Nothing to do: the project is at {name(self.new)}.\n"
        lines = ["", f"Updated from {name(self.old)} to {name(self.new)}."]
        for heading in _HEADING.finditer(self.changes):
            lines.append(f"  {heading[0].removeprefix('## ')}")
        for title, paths in sections:
            if title.startswith("CONFLICT") or len(paths) <= SHOWN:
                lines += ["", f"{title}:", *(f"  {path}" for path in paths)]
            else:
                lines += ["", f"{title}: {len(paths)} files"]
        lines += ["", "All changes of the release: .gaiaflow/update/summary.md"]
        if following := self._next():
            lines += ["", "What next:", *(f"  {line}" for line in following)]
        return "\n".join(lines) + "\n"

    def _next(self) -> list[str]:
        manage = "python3 mlops_manager.py update"
        undo = f"{manage} --abort       # or bring everything back as it was"
        if not self.merge.conflicts:
            if "GAIAFLOW_UPDATE" in os.environ:
                return []  # who called us goes on by itself
            return [
                "git diff                                    # look through it",
                f"{manage} --continue    # environments and services",
                "git add --all && git commit                 # after your tests",
                undo,
            ]
        lines = ["edit the files above: keep what is right between <<<<<<< and >>>>>>>"]
        if any(path.endswith(".py") for path in self.merge.conflicts):
            undo = "python3 .gaiaflow/update/undo.py   # or bring everything back as it was"
        return [
            *lines,
            "git add FILE ...                            # for each that is resolved",
            f"{manage} --continue    # environments and services",
            undo,
        ]

    def markdown(self) -> str:
        """For a pull request."""
        lines = [f"# Gaiaflow {name(self.old)} → {name(self.new)}", ""]
        for title, paths in self.sections():
            lines += [f"**{title[0].upper()}{title[1:]}**", ""]
            lines += [f"- `{path}`" for path in paths] + [""]
        if self.changes:
            lines += ["---", "", self.changes, ""]
        return "\n".join(lines)
