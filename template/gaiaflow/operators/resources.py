"""What a task may ask for: CPUs, memory and GPUs, or a profile that sets all three.

A project's own profiles, in pyproject.toml, override ours:

    [tool.gaiaflow.resources.training]
    cpu = 8
    memory = "32Gi"
    gpu = 1
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT = "small"
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "small": {"cpu": 0.5, "memory": "1Gi"},
    "medium": {"cpu": 1, "memory": "4Gi"},
    "large": {"cpu": 4, "memory": "16Gi"},
    "gpu": {"cpu": 4, "memory": "16Gi", "gpu": 1},
}
_MEMORY = re.compile(r"([1-9]\d*)(Mi|Gi)")
_BYTES = {"Mi": 2**20, "Gi": 2**30}


@dataclass(frozen=True)
class Resources:
    """What a task asks for: CPUs, memory such as "512Mi" or "4Gi", and GPUs."""

    cpu: float
    memory: str
    gpu: int = 0

    def memory_bytes(self) -> int:
        """The memory in bytes."""
        number, unit = self.memory[:-2], self.memory[-2:]
        return int(number) * _BYTES[unit]

    def double_memory(self) -> str:
        """Twice the memory: "2Gi" for "1Gi"."""
        return f"{2 * int(self.memory[:-2])}{self.memory[-2:]}"


def requested(wish: str | Mapping[str, Any] | None, root: Path) -> Resources:
    """Check and complete a task's resources.

    Args:
        wish: a profile's name, or some of cpu, memory and gpu; `small` completes them.
        root: the project, which may have its own profiles.

    Raises:
        ValueError: there is no such profile, or a value is invalid.
    """
    if isinstance(wish, str) or wish is None:
        profiles = {**PROFILES, **_own_profiles(root)} if wish else PROFILES
        if (wish or DEFAULT) not in profiles:
            known = ", ".join(profiles)
            raise ValueError(f"unknown resource profile {wish!r}; available: {known}")
        wish = profiles[wish or DEFAULT]
    unknown = set(wish) - {"cpu", "memory", "gpu"}
    if unknown:
        raise ValueError(f"unknown resource {unknown.pop()!r}; available: cpu, memory, gpu")
    full = {"gpu": 0, **PROFILES[DEFAULT], **wish}
    if not _is_number(full["cpu"]) or not 0 < full["cpu"] <= 1024:
        raise ValueError(f"cpu must be a number of CPUs such as 0.5 or 4, not {full['cpu']!r}")
    if not isinstance(full["memory"], str) or not _MEMORY.fullmatch(full["memory"]):
        raise ValueError(f"memory must be a string like '512Mi' or '4Gi', not {full['memory']!r}")
    if not isinstance(full["gpu"], int) or isinstance(full["gpu"], bool) or full["gpu"] < 0:
        raise ValueError(f"gpu must be a number of GPUs, not {full['gpu']!r}")
    return Resources(**full)


@functools.cache  # read it once, not for each task of a DAG file
def _own_profiles(root: Path) -> Mapping[str, Mapping[str, Any]]:
    from gaiaflow.project.identity import read_toml

    file = root / "pyproject.toml"
    known = read_toml(file) if file.exists() else {}
    return dict(known.get("tool", {}).get("gaiaflow", {}).get("resources", {}))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
