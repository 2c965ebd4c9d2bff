"""The project's profile `default` of resources, which completes those of all tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_toml


def default_profile(folder: Path) -> Mapping[str, Any]:
    """What `[tool.gaiaflow.resources.default]` of a project says; empty if it has none."""
    try:
        known: Any = read_toml(folder / "pyproject.toml")
    except GaiaflowError:
        return {}
    for name in ("tool", "gaiaflow", "resources", "default"):
        known = known.get(name, {}) if isinstance(known, dict) else {}
    return known if isinstance(known, dict) else {}
