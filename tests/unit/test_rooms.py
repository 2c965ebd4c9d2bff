"""Which parts of the framework may import which: what runs where decides it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FRAMEWORK = Path(__file__).parents[2] / "template" / "gaiaflow"
RASTERS = FRAMEWORK / "rasters"


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", sorted(RASTERS.glob("*.py")), ids=lambda path: str(path.name))
def test_rasters_need_rasterio_and_nothing_else(path: Path) -> None:
    """They run in the project's environment, whatever else is in it."""
    allowed = {*sys.stdlib_module_names, "affine", "numpy", "rasterio"}
    others = [name for name in imports(path) if name.partition(".")[0] not in allowed]
    assert [name for name in others if not name.startswith("gaiaflow.rasters.")] == []


def test_nothing_else_of_the_framework_needs_rasters() -> None:
    """Airflow's environment has no rasterio, and commands run on any Python."""
    for path in set(FRAMEWORK.rglob("*.py")) - set(RASTERS.rglob("*.py")):
        heavy = [name for name in imports(path) if name.startswith(("gaiaflow.rasters", "numpy"))]
        assert heavy == [], path
