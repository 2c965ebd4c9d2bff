"""The project's identity, the same on every machine: `[tool.gaiaflow]` in pyproject.toml.

Standard library only.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gaiaflow.project.errors import GaiaflowError


@dataclass(frozen=True)
class Identity:
    """Answers to the template's questions that the framework needs."""

    package: str
    environment_manager: str
    object_store: str


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        GaiaflowError: the file is missing or not TOML; the message says where.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GaiaflowError(f"{path} is missing: restore it from git.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GaiaflowError(f"{path.name} cannot be read: {error}.") from None


def read_identity(root: Path) -> Identity:
    """Read a project's identity.

    Raises:
        GaiaflowError: pyproject.toml cannot be read or is incomplete.
    """
    tools = read_toml(root / "pyproject.toml").get("tool")
    table = tools.get("gaiaflow") if isinstance(tools, dict) else None
    table = table if isinstance(table, dict) else {}
    wanted = [field.name for field in fields(Identity)]
    missing = [name for name in wanted if name not in table]
    if missing:
        raise GaiaflowError(
            f"pyproject.toml lacks {', '.join(missing)} in [tool.gaiaflow]: "
            "`git diff pyproject.toml` shows what was changed."
        )
    return Identity(**{name: str(table[name]) for name in wanted})
