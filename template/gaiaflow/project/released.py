"""The image that belongs to a commit of a deployment branch.

A release writes its digest into a file and commits it there, so code and image can't drift apart.
"""

from __future__ import annotations

from pathlib import Path

IMAGE_FILE = Path("deploy", "release", "image")


def image(root: Path) -> str | None:
    """The image's name with its digest; None on other branches."""
    try:
        return (root / IMAGE_FILE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
