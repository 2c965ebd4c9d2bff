"""Find a project's license, as far as the project declares it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

OTHER = "other"  # the template then writes no license
# The template's choices, by a line of their text and by their classifier.
_TEXTS = {"MIT License": "MIT", "Apache License": "Apache-2.0", "BSD 3-Clause": "BSD-3-Clause"}
_CLASSIFIERS = {
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
}
_FILE = re.compile(r"(?i)(licen[cs]e|copying|unlicense)([-._].*)?")


def files(root: Path) -> list[str]:
    """The license files at the top level."""
    return sorted(
        path.name for path in root.iterdir() if _FILE.fullmatch(path.name) and path.is_file()
    )


def answer(root: Path, project: Mapping[str, Any]) -> str:
    """The template's choice that matches what is declared, or else the file's text."""
    declared = project.get("license", "")
    text = declared.get("text", "") if isinstance(declared, Mapping) else declared
    if text:
        try:
            expression = str(canonicalize_license_expression(text))
        except InvalidLicenseExpression:
            expression = _TEXTS.get(text.strip(), "")
        return expression if expression in _TEXTS.values() else OTHER
    found = {
        each: name
        for each in files(root)
        for sign, name in _TEXTS.items()
        if sign in (root / each).read_text(encoding="utf-8", errors="replace")[:600]
    }
    if found or files(root):
        return next(iter(found.values()), OTHER) if len(found) == len(files(root)) == 1 else OTHER
    named = [each for each in project.get("classifiers", []) if each.startswith("License ::")]
    return _CLASSIFIERS.get(named[0], OTHER) if len(named) == 1 else OTHER
