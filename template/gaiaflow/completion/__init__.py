"""Completion of command lines on TAB.

`shells/` has what a shell runs. For each TAB, it asks `mlops_manager.py completion --words`.
"""

from __future__ import annotations

from pathlib import Path

SHELLS = ("bash", "fish", "zsh")


def script(shell: str) -> str:
    """The script for one of the shells."""
    return (Path(__file__).parent / "shells" / f"gaiaflow.{shell}").read_text(encoding="utf-8")
