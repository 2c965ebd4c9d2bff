"""What the project's own files import, found without running them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaiaflow.project import calls, imports

FILES = {
    "lake/__init__.py": "from . import settings",
    "lake/settings.py": "import yaml",
    "lake/train/__init__.py": "",
    "lake/train/fit.py": """
import sklearn.svm
from ..data.read import read
from . import score
def f():
    import torch
""",
    "lake/train/score.py": "from .fit import f  # a circle",
    "lake/data/__init__.py": "",
    "lake/data/read.py": "from rasterio import open\nimport gaiaflow.rasters",
    "lake/data/unused.py": "import xarray",
    "lake/broken.py": "import numpy\nx = (",
    "gaiaflow/rasters/__init__.py": "import affine",
}


@pytest.fixture(params=["", "src/"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    for name, text in FILES.items():
        file = tmp_path / (request.param if name.startswith("lake") else "") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def test_all_that_a_module_imports(root: Path) -> None:
    own, others = imports.closure(root, imports.files_of(root, "lake.train.fit"))
    names = {str(file.relative_to(root)).removeprefix("src/") for file in own}
    assert names == {*FILES} - {"lake/data/unused.py", "lake/broken.py"}
    assert set(others) >= {"yaml", "sklearn.svm", "rasterio", "torch", "affine"}
    assert "xarray" not in others


def test_a_file_that_is_being_edited_imports_nothing(root: Path) -> None:
    broken = imports.files_of(root, "lake.broken")[-1]
    assert broken.name == "broken.py"
    assert imports.closure(root, [broken]) == ({broken}, [])


def test_there_may_be_no_such_module(root: Path) -> None:
    assert imports.files_of(root, "sea.train")[:1] == []


def test_the_last_call_of_a_function_is_known(tmp_path: Path) -> None:
    assert calls.recall(tmp_path, "lake.train.fit:f") is None
    for folds in (3, 5):
        call = calls.Call({"folds": folds, "name": "Wälder"}, {"A": "b"}, "dag", "run", "task")
        calls.remember(tmp_path, "lake.train.fit:f", call)
    assert calls.recall(tmp_path, "lake.train.fit:f") == call
    assert calls.known(tmp_path) == ["lake.train.fit:f"]
    [file] = (tmp_path / ".gaiaflow" / "calls").iterdir()
    file.write_text("{")  # cut off
    assert calls.recall(tmp_path, "lake.train.fit:f") is None
