"""Where a project has its package: at the top, or in src/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from packaging.utils import canonicalize_name

NOT_PACKAGES = {"tests", "test", "dags", "docs", "notebooks", "scripts", "gaiaflow", "data", "src"}


class NoPackage(Exception):
    """There is none, or it is not clear which it is. The message says what to do."""


@dataclass(frozen=True)
class Layout:
    """The package of a project, and the folder that it lies in."""

    package: str
    inside: str  # "src", or nothing for the top
    others: list[str]  # packages beside it

    @property
    def packages(self) -> list[str]:
        """The folders that the project's distribution has: in src/, all of them."""
        names = [self.package, *(self.others if self.inside else [])]
        return [f"{self.inside}/{name}" if self.inside else name for name in names]


def find(root: Path, name: str, package: str = "") -> Layout:
    """The package's folder.

    Args:
        root: the project.
        name: of the distribution; a package that is called so is the one.
        package: the package's name, if a person has said it.

    Raises:
        NoPackage: there is none, or it is not clear which it is.
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
                f"Which is the package: {', '.join(found)}? Say so: -d package_name={found[0]}"
            )
    where = f"called {package} " if package else ""
    raise NoPackage(
        f"There is no Python package {where}(a folder with __init__.py) at the top or in src/."
    )


def _packages(folder: Path) -> list[str]:
    return sorted(
        path.parent.name
        for path in folder.glob("*/__init__.py")
        if path.parent.name not in NOT_PACKAGES and path.parent.name.isidentifier()
    )


def adapt(pyproject: str, layout: Layout) -> str:
    """The template's pyproject.toml for a package that lies in src/."""
    if not layout.inside:
        return pyproject
    document = tomlkit.parse(pyproject)
    tool: Any = document["tool"]
    tool["hatch"]["build"]["targets"]["wheel"]["packages"] = layout.packages
    tool["mypy"]["files"][0] = layout.inside
    tool["pytest"]["ini_options"]["pythonpath"] = [".", layout.inside]
    return tomlkit.dumps(document)
