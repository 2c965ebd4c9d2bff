"""What a task may ask for, and where its pod may run; or a profile that says all of it.

A project's own profiles, in pyproject.toml, override ours, and `default` completes all of them:

    [tool.gaiaflow.resources.default]
    service_account = "forest-watch"

    [tool.gaiaflow.resources.training]
    cpu = 8
    memory = "32Gi"
    gpu = 1
    scratch = "200Gi"
    node_selector = {pool = "gpu"}
    tolerations = [{key = "nvidia.com/gpu", operator = "Exists", effect = "NoSchedule"}]
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "small": {"cpu": 0.5, "memory": "1Gi"},
    "medium": {"cpu": 1, "memory": "4Gi"},
    "large": {"cpu": 4, "memory": "16Gi"},
    "gpu": {"cpu": 4, "memory": "16Gi", "gpu": 1},
}
_SMALLEST = PROFILES["small"]
_DEFAULT = "default"  # of the project
_SIZE = re.compile(r"([1-9]\d*)(Mi|Gi)")
_BYTES = {"Mi": 2**20, "Gi": 2**30}
_TOLERATION = {"key", "operator", "value", "effect", "tolerationSeconds"}


@dataclass(frozen=True)
class Resources:
    """What a task asks for, and where its pod may run.

    Args:
        cpu: CPUs.
        memory: such as "512Mi" or "4Gi".
        gpu: GPUs.
        scratch: the size of a volume that lives as long as the pod, such as "100Gi"; none if empty.
        node_selector: labels that the pod's node must have.
        tolerations: taints that its node may have, as in a pod's manifest.
        service_account: the pod's account, for a cloud's role; its token is not mounted.
        image_pull_secrets: names of secrets for the image's registry.
        labels: additional ones of the pod.
    """

    cpu: float
    memory: str
    gpu: int = 0
    scratch: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    service_account: str = ""
    image_pull_secrets: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

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
        wish: a profile's name, or some of the fields of `Resources`; the project's profile
            `default` and then our profile `small` complete them.
        root: the project, which may have its own profiles.

    Raises:
        ValueError: there is no such profile, or a value is invalid.
    """
    own = _own_profiles(root)
    if isinstance(wish, str):
        profiles = {**PROFILES, **own}
        if wish not in profiles:
            known = ", ".join(profiles)
            raise ValueError(f"unknown resource profile {wish!r}; available: {known}")
        wish = profiles[wish]
    full = {**_SMALLEST, **own.get(_DEFAULT, {}), **(wish or {})}
    for name, value in full.items():
        if name not in _CHECKS:
            raise ValueError(f"unknown resource {name!r}; available: {', '.join(_CHECKS)}")
        is_right, what = _CHECKS[name]
        if not is_right(value):
            raise ValueError(f"{name} must be {what}, not {value!r}")
    return Resources(**full)


@functools.cache  # read it once, not for each task of a DAG file
def _own_profiles(root: Path) -> Mapping[str, Mapping[str, Any]]:
    from gaiaflow.project.identity import read_toml

    file = root / "pyproject.toml"
    known = read_toml(file) if file.exists() else {}
    return dict(known.get("tool", {}).get("gaiaflow", {}).get("resources", {}))


def _is_cpu(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value <= 1024


def _is_size(value: Any) -> bool:
    return isinstance(value, str) and bool(_SIZE.fullmatch(value))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _are_labels(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        _is_name(k) and isinstance(v, str) for k, v in value.items()
    )


def _are_names(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_name, value))


def _are_tolerations(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(one, Mapping) and set(one) <= _TOLERATION for one in value
    )


# Each field's test, and what its value must be.
_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "cpu": (_is_cpu, "a number of CPUs such as 0.5 or 4"),
    "memory": (_is_size, "a string like '512Mi' or '4Gi'"),
    "gpu": (_is_count, "a number of GPUs"),
    "scratch": (_is_size, "a string like '512Mi' or '100Gi'"),
    "node_selector": (_are_labels, "labels and their values, like {pool = 'gpu'}"),
    "tolerations": (_are_tolerations, f"a list of mappings with {', '.join(sorted(_TOLERATION))}"),
    "service_account": (_is_name, "a name"),
    "image_pull_secrets": (_are_names, "a list of names"),
    "labels": (_are_labels, "labels and their values, like {team = 'forest'}"),
}
