"""The tested version of a package, read from the lock that uv.lock is seeded from.

environment.yml and the pixi tables take their versions from here, so all environment managers
agree by construction.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment
from jinja2.ext import Extension
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = Path(__file__).resolve().parents[1] / "template" / "gaiaflow" / "locks" / "project.txt"
PYTHON = "3.12"  # of conda and pixi environments
PYTORCH_CPU = "https://download.pytorch.org/whl/cpu"  # PyTorch's own index of wheels without CUDA


@lru_cache(maxsize=1)
def _locked() -> dict[str, list[Requirement]]:
    locked: dict[str, list[Requirement]] = {}
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        if line and line[0].isalnum():
            requirement = Requirement(line)
            locked.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return locked


def pin(name: str, python: str = PYTHON) -> str:
    """Return the locked version of a package for one minor version of Python.

    Raises:
        KeyError: The lock has no line for this package and this Python.
    """
    target = {"python_version": python, "python_full_version": f"{python}.0"}
    for requirement in _locked().get(canonicalize_name(name), []):
        if requirement.marker is None or requirement.marker.evaluate(target):
            return str(requirement.specifier).removeprefix("==")
    raise KeyError(f"{LOCK.name} has no version of {name} for Python {python}: regenerate it.")


class PinsExtension(Extension):
    """Globals: pin(name), the locked version, pinned_python, and pytorch_cpu, an index."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals["pin"] = pin
        environment.globals["pinned_python"] = PYTHON
        environment.globals["pytorch_cpu"] = PYTORCH_CPU
