"""The name of the project's own image, for tasks in containers and clusters."""

from __future__ import annotations

import re
from typing import Any

from gaiaflow.project.identity import read_toml
from gaiaflow.project.project import Project


def package_image(project: Project) -> str:
    """The image's name: PACKAGE_IMAGE from `.env`, or else the package and its version."""
    if chosen := project.env.get("PACKAGE_IMAGE"):
        return chosen
    metadata: dict[str, Any] = read_toml(project.root / "pyproject.toml").get("project", {})
    tag = re.sub(r"[^A-Za-z0-9_.-]", "-", str(metadata.get("version", "latest")))
    return f"{project.identity.package.strip('_').replace('_', '-')}:{tag}"
