"""What an update did, for a person at a terminal and for a pull request."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tasks.merging import Merge
from tasks.rendering import show

SHOWN = 12  # paths per section in the terminal
_HEADING = re.compile(r"(?m)^## (\S+).*$")


def name(ref: str) -> str:
    """A release's display name: `0.2.0`, or a commit."""
    return ref.removeprefix("v")


def changes(source: Path, old: str) -> str:
    """The sections of CHANGES.md that the old release lacks, newest first."""
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
    """Everything to report after an update."""

    old: str
    new: str
    merge: Merge
    code: list[str]
    settings: list[str]
    aside: list[str]
    changes: str

    def sections(self) -> list[tuple[str, list[str]]]:
        """What happened, and to which paths; without empty sections."""
        merge = self.merge
        listed = [
            ("CONFLICT: the file contains both versions", merge.conflicts),
            ("merged: your changes and the release's", merge.merged),
            ("kept: you changed them, the release dropped them", merge.kept),
            ("stay deleted: you deleted them, the release changed them", merge.gone),
            ("updated", merge.updated),
            ("new", merge.added),
            ("removed", merge.removed),
            ("imports rewritten in your code", self.code),
            ("settings in .env", self.settings),
            ("put aside: these were edited while the update ran", self.aside),
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
        lines += ["", "For the release's changes, see .gaiaflow/update/summary.md"]
        if following := self._next():
            lines += ["", "Next steps:", *(f"  {line}" for line in following)]
        return "\n".join(lines) + "\n"

    def _next(self) -> list[str]:
        manage = "python3 mlops_manager.py update"
        undo = f"{manage} --abort       # or undo the update"
        if not self.merge.conflicts:
            if "GAIAFLOW_UPDATE" in os.environ:
                return []  # the caller continues
            return [
                "git diff                                    # review the changes",
                f"{manage} --continue    # environments and services",
                "git add --all && git commit                 # after your tests",
                undo,
            ]
        lines = ["edit the files above: keep the right lines between <<<<<<< and >>>>>>>"]
        if any(path.endswith(".py") for path in self.merge.conflicts):
            undo = "python3 .gaiaflow/update/undo.py   # or undo the update"
        return [
            *lines,
            "git add FILE ...                            # for each resolved file",
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
