"""Read the ownership classes of copier.yml without Copier."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml
from pathspec import GitIgnoreSpec

_PACKAGE = re.compile(r"\{\{ package_name.*?\}\}")


@dataclass(frozen=True)
class Owners:
    """The patterns of one release, for one project."""

    framework: list[str]
    shared: list[str]
    user: list[str]
    generated: list[str]

    @property
    def ours(self) -> list[str]:
        """The top paths of framework and shared files; a test ensures that they are plain paths."""
        return [pattern.strip("/") for pattern in (*self.framework, *self.shared)]

    @cached_property
    def _theirs(self) -> GitIgnoreSpec:
        return GitIgnoreSpec.from_lines([*self.user, *self.generated])

    def is_theirs(self, path: str) -> bool:
        """Whether an update must leave the path alone."""
        return self._theirs.match_file(path)


def owners(copier_yml: str, answers: Mapping[str, Any]) -> Owners:
    """Read the classes of a release, which depend only on the package's name."""
    config = yaml.safe_load(copier_yml)
    package = str(answers["package_name"])
    return Owners(
        *(
            [_PACKAGE.sub(lambda _: package, line) for line in config[f"{name}_files"]["default"]]
            for name in ("framework", "shared", "user", "generated")
        )
    )
