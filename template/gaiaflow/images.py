"""The name of the project's own image, in which its tasks run in containers and clusters."""

from __future__ import annotations

import re
from typing import Any

from gaiaflow.settings import Project, read_toml


def package_image(project: Project) -> str:
    """The name of the project's own image: the package and its version, or what .env says."""
    if chosen := project.env.get("PACKAGE_IMAGE"):
        return chosen
    metadata: dict[str, Any] = read_toml(project.root / "pyproject.toml").get("project", {})
    tag = re.sub(r"[^A-Za-z0-9_.-]", "-", str(metadata.get("version", "latest")))
    return f"{project.package.strip('_').replace('_', '-')}:{tag}"
