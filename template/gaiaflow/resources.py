"""What a task may ask for: CPUs, memory and GPUs, or a profile that names all three.

Profiles of a project stand in pyproject.toml and win over ours:

    [tool.gaiaflow.resources.training]
    cpu = 8
    memory = "32Gi"
    gpu = 1
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
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


def requested(wish: str | Mapping[str, Any] | None, root: Path) -> dict[str, Any]:
    """What a task asks for, complete: {"cpu": CPUs, "memory": "1Gi", "gpu": number}.

    Args:
        wish: a profile's name, or some of cpu, memory and gpu; the rest is that of `small`.
        root: the project, for its own profiles.

    Raises:
        ValueError: there is no such profile, or a value is not what it should be.
    """
    if isinstance(wish, str) or wish is None:
        profiles = {**PROFILES, **_own_profiles(root)} if wish else PROFILES
        if (wish or DEFAULT) not in profiles:
            known = ", ".join(profiles)
            raise ValueError(f"there is no resource profile {wish!r}, but: {known}")
        wish = profiles[wish or DEFAULT]
    unknown = set(wish) - {"cpu", "memory", "gpu"}
    if unknown:
        raise ValueError(f"resources are cpu, memory and gpu, and not {unknown.pop()!r}")
    full = {"gpu": 0, **PROFILES[DEFAULT], **wish}
    if not _is_number(full["cpu"]) or not 0 < full["cpu"] <= 1024:
        raise ValueError(f"cpu is a number of CPUs, as 0.5 or 4, and not {full['cpu']!r}")
    if not isinstance(full["memory"], str) or not _MEMORY.fullmatch(full["memory"]):
        raise ValueError(f"memory is a text like '512Mi' or '4Gi', and not {full['memory']!r}")
    if not isinstance(full["gpu"], int) or isinstance(full["gpu"], bool) or full["gpu"] < 0:
        raise ValueError(f"gpu is a number of GPUs, and not {full['gpu']!r}")
    return full


def memory_bytes(memory: str) -> int:
    """Bytes of a memory size like "4Gi"."""
    number, unit = _MEMORY.fullmatch(memory).groups()  # type: ignore[union-attr]
    return int(number) * _BYTES[unit]


def doubled(memory: str) -> str:
    """Twice as much memory: "2Gi" for "1Gi"."""
    number, unit = _MEMORY.fullmatch(memory).groups()  # type: ignore[union-attr]
    return f"{2 * int(number)}{unit}"


@functools.cache  # a DAG file of many tasks reads it once
def _own_profiles(root: Path) -> Mapping[str, Mapping[str, Any]]:
    from gaiaflow.settings import read_toml

    file = root / "pyproject.toml"
    known = read_toml(file) if file.exists() else {}
    return dict(known.get("tool", {}).get("gaiaflow", {}).get("resources", {}))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
