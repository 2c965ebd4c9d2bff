"""Find a project's package: at the top level, or in src/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from packaging.utils import canonicalize_name

NOT_PACKAGES = {"tests", "test", "dags", "docs", "notebooks", "scripts", "gaiaflow", "data", "src"}


class NoPackage(Exception):
    """There is no package, or more than one candidate. The message says what to do."""


@dataclass(frozen=True)
class Layout:
    """A project's package, and the folder that contains it."""

    package: str
    inside: str  # "src", or empty for the top level
    others: list[str]  # packages next to it

    @property
    def packages(self) -> list[str]:
        """The folders in the project's distribution: in src/, all packages."""
        names = [self.package, *(self.others if self.inside else [])]
        return [f"{self.inside}/{name}" if self.inside else name for name in names]


def find(root: Path, name: str, package: str = "") -> Layout:
    """Find the package.

    Args:
        root: the project.
        name: the distribution's name; a package with this name is chosen.
        package: the package's name, if the user gave it.

    Raises:
        NoPackage: there is none, or more than one candidate.
    """
    for inside in ("", "src"):
        found = _packages(root / inside)
        wanted = canonicalize_name(package or name) if package or name else ""
        matching = [each for each in found if each == package or canonicalize_name(each) == wanted]
        chosen = matching or ([] if package else found)
        if len(chosen) == 1:
            return Layout(chosen[0], inside, [each for each in found if each != chosen[0]])
        if chosen:
            raise NoPackage(
                f"Found several packages: {', '.join(found)}. "
                f"Choose one, such as: -d package_name={found[0]}"
            )
    where = f"called {package} " if package else ""
    raise NoPackage(
        f"Found no Python package {where}at the top level or in src/. "
        "Add a folder with an __init__.py."
    )


def _packages(folder: Path) -> list[str]:
    return sorted(
        path.parent.name
        for path in folder.glob("*/__init__.py")
        if path.parent.name not in NOT_PACKAGES and path.parent.name.isidentifier()
    )


def adapt(pyproject: str, layout: Layout) -> str:
    """Adapt the template's pyproject.toml to a package in src/."""
    if not layout.inside:
        return pyproject
    document = tomlkit.parse(pyproject)
    tool: Any = document["tool"]
    tool["hatch"]["build"]["targets"]["wheel"]["packages"] = layout.packages
    tool["mypy"]["files"][0] = layout.inside
    tool["pytest"]["ini_options"]["pythonpath"] = [".", layout.inside]
    return tomlkit.dumps(document)
