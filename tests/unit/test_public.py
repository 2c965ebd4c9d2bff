"""What a project's own files may import from the framework is small, declared and documented."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template"
PUBLIC = {
    "gaiaflow": {"__version__", "connect", "create_task", "load_yaml_pipelines"},
    "gaiaflow.contracts": {"violations"},
    "gaiaflow.maps": {"page_url", "tile_url"},
    "gaiaflow.monitoring": {
        *("CONFIDENCE", "PREDICTION", "Comparison", "Finding", "Limits", "Profile", "Served"),
        *(
            "challenge",
            "compare",
            "judged",
            "judged_accuracy",
            "load_profile",
            "log_report",
            "read_labelled",
        ),
        *("read_served", "report", "store_profile", "verdict_of"),
    },
    "gaiaflow.rasters": {
        *("Applied", "Bands", "Description", "Grid", "ImageFunction", "LabelMask", "LazyRaster"),
        *(
            "PixelSample",
            "Raster",
            "RasterError",
            "apply",
            "function_of",
            "is_plausible",
            "open_item",
            "open_raster",
        ),
        *("open_reflectance", "read", "read_item", "read_labels", "read_reflectance"),
        *("sample_labels", "sample_pixels", "spatial_blocks", "write_cog"),
    },
    "gaiaflow.stac": {
        *("CatalogError", "class_asset", "collection_items", "folder", "model_item"),
        *(
            "product_item",
            "raster_assets",
            "read_items",
            "remove_item",
            "search",
            "write_collection",
        ),
        "write_item",
    },
    "gaiaflow.testing": {"has_airflow", "load_dags", "load_function"},
}
# Part of the framework, so they may import its rooms.
MANAGERS = {"mlops_manager.py", "minikube_manager.py"}


def declared(module: str) -> set[str]:
    """`__all__` of a module of the framework."""
    path = TEMPLATE / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"{module} has no __all__")


def own_files() -> list[Path]:
    """All Python files and notebooks that a project's team owns, and adoption's shim."""
    kinds = (".py", ".py.jinja", ".ipynb", ".ipynb.jinja")
    found = [path for path in TEMPLATE.rglob("*") if path.name.endswith(kinds)]
    theirs = [path for path in found if path.relative_to(TEMPLATE).parts[0] != "gaiaflow"]
    shim = ROOT / "tasks" / "adoption" / "task_factory.py"
    return [*(path for path in theirs if path.name not in MANAGERS), shim]


def used(path: Path) -> Iterator[str]:
    """The names of the framework that a file imports, or takes from the package."""
    text = path.read_text(encoding="utf-8")
    if ".ipynb" in path.suffixes:
        lines = re.findall(r'(?m)^\s*("(?:[^"\\]|\\.)*"),?$', text)
        text = "\n".join(json.loads(line).rstrip() for line in lines)
    imports = r"(?m)^\s*from (gaiaflow[\w.]*) import (\([^)]*\)|[^#\n]+)"
    for module, names in re.findall(imports, text):
        each = (name.strip() for name in names.strip("()").split(","))
        yield from (f"{module}:{name}" for name in each if name)
    if re.search(r"(?m)^\s*import gaiaflow$", text):
        yield from (f"gaiaflow:{name}" for name in re.findall(r"(?<!from )\bgaiaflow\.(\w+)", text))
    yield from (f"{module}:" for module in re.findall(r"(?m)^\s*import (gaiaflow\.[\w.]+)", text))


@pytest.mark.parametrize("module", PUBLIC)
def test_it_is_declared(module: str) -> None:
    assert declared(module) == PUBLIC[module]


@pytest.mark.parametrize("path", own_files(), ids=lambda path: path.name)
def test_own_files_use_nothing_else(path: Path) -> None:
    allowed = {f"{module}:{name}" for module, names in PUBLIC.items() for name in names}
    assert set(used(path)) <= allowed


def test_own_files_use_some_of_it() -> None:
    assert {"gaiaflow:create_task", "gaiaflow:connect", "gaiaflow.rasters:read"} <= {
        name for path in own_files() for name in used(path)
    }


def test_it_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    for name in PUBLIC["gaiaflow"] - {"__version__"}:
        assert re.search(rf"(?m)^::: gaiaflow\.[\w.]*\b{name}$", page), name
    for module in PUBLIC.keys() - {"gaiaflow"}:
        assert f"::: {module}\n" in page, module
