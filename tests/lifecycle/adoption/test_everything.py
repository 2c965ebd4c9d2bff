"""A project declares things in every kind of file: each is carried over or reported."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.adoption import project, pyproject, sources
from tasks.adoption.pyproject import parse
from tests.conftest import ROOT
from tests.lifecycle.adoption.conftest import Template
from tests.lifecycle.conftest import History, commit, git

PYPROJECT = """
[build-system]
requires = ["setuptools>=61", "cython-lint", "setuptools-scm"]
build-backend = "setuptools.build_meta"

[project]
name = "lake-tools"
description = "Finds lakes"
readme = { file = "README.rst", content-type = "text/x-rst" }
license = "GPL-3.0-or-later"
license-files = ["COPYING"]
keywords = ["water", "ice"]
authors = [{ name = "Ada", email = "ada@example.org" }, { name = "Bea" }]
maintainers = [{ name = "Cleo" }]
classifiers = ["Topic :: Scientific/Engineering :: GIS"]
requires-python = ">=3.11"
dynamic = ["version"]
dependencies = [
    'numpy>=2.3; python_version >= "3.12"',
    'numpy<2.3; python_version < "3.12"',
    "psycopg2-binary>=2.9",
    "asyncpg",
    "apache-airflow==2.9",
    "depth @ git+https://example.org/depth.git@v1",
]
optional-dependencies = { plots = ["seaborn", "plotly>=5"] }

[project.urls]
Homepage = "https://lakes.example.org"

[project.scripts]
find-lakes = "lakes.cli:main"

[project.entry-points."lakes.plugins"]
shore = "lakes.shore:Shore"

[dependency-groups]
dev = ["pytest>=8.1", "ipdb"]
docs = ["sphinx", { include-group = "dev" }]

[tool.setuptools.package-data]
lakes = ["shapes.json"]

[tool.setuptools.dynamic]
version = { attr = "lakes.__version__" }

[tool.ruff]
line-length = 77 # as in our other projects
lint.select = ["D401"]

[tool.coverage.run]
branch = true
omit = ["lakes/legacy.py"]

[tool.pytest.ini_options]
addopts = "--durations=5"
markers = ["slow: takes long"]

[tool.uv.sources]
bathymetry = { path = "../bathymetry" }
"""
SETUP_CFG = """
[metadata]
name = lake-tools
long_description = file: README.rst
[options]
install_requires =
    shapely>=2.0
    pyproj
python_requires = >=3.9
[options.entry_points]
console_scripts =
    measure-lakes = lakes.measure:main
[options.package_data]
lakes = *.geojson
[flake8]
max-line-length = 77
"""
SETUP_PY = """
import sys
from setuptools import Extension, setup
raise SystemExit("nobody may run this")
BASE = ["fiona>=1.9"]
setup(
    install_requires=BASE + ["affine"],
    extras_require={"fast": ["numba"]},
    entry_points={"console_scripts": ["drain = lakes.drain:main"]},
    scripts=["bin/plumb"],
    ext_modules=[Extension("lakes.fast", ["fast.c"])],
    cmdclass=make_commands(sys),
)
"""
REQUIREMENTS = """
# what runs
tqdm==4.66 \\
    --hash=sha256:abcd
numpy==2.3.1
-e git+https://example.org/waves.git#egg=waves
-c constraints.txt
--extra-index-url https://wheels.example.org
./vendored/thing
https://example.org/rivers-1.0-py3-none-any.whl
"""
POETRY = """
[tool.poetry]
name = "lakes"
version = "3.2.1"
description = "Finds lakes"
authors = ["Ada <ada@example.org>"]
license = "MIT"
homepage = "https://lakes.example.org"
packages = [{ include = "lakes" }]

[tool.poetry.dependencies]
python = "^3.11"
numpy = "^2.2"
pandas = { version = "~2.3.1", extras = ["parquet"], markers = "sys_platform == 'linux'" }
shapely = [{ version = "<2", python = "<3.12" }, { version = ">=2", python = ">=3.12" }]
depth = { git = "https://example.org/depth.git", tag = "v1" }
near = { path = "../near", develop = true }
seaborn = { version = "*", optional = true }
either = "1.0 || 2.0"

[tool.poetry.extras]
plots = ["seaborn"]

[tool.poetry.group.dev.dependencies]
ipdb = "*"

[tool.poetry.group.test.dependencies]
pytest-cov = "^5.0"

[tool.poetry.scripts]
find-lakes = "lakes.cli:main"

[tool.poetry.plugins."lakes.plugins"]
shore = "lakes.shore:Shore"

[[tool.poetry.source]]
name = "ours"
url = "https://wheels.example.org"

[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""
CONDA = """
name: water
channels:
  - pytorch
  - conda-forge
  - defaults
dependencies:
  - python=3.11
  - numpy=2.1
  - pytorch::pytorch>=2.2
  - gdal
  - psycopg2-binary
  - apache-airflow=2.9
  - pip:
      - spyndex==0.4
      - -r requirements.txt
      - keras>=3
variables:
  LAKES_DATA: /lakes
"""
PIXI = """
[project]
name = "lake-tools"
channels = ["pytorch", "conda-forge"]
platforms = ["linux-64"]

[dependencies]
python = ">=3.11,<3.13"
numpy = "2.1.*"
gdal = "*"
apache-airflow = ">=3"

[pypi-dependencies]
keras = ">=3"
near = { path = "../near", editable = true }

[feature.test.dependencies]
pytest-cov = "*"

[environments]
test = ["test"]
default = ["test"]

[tasks]
drain = "python -m lakes.drain"

[activation.env]
LAKES_DATA = "/lakes"
"""
# Words of the formats themselves, and of what is obsolete.
SYNTAX = set(
    """name true false include path version optional develop editable markers extras git tag url
    attr file python -m sha256 import setup setuptools sys raise SystemExit BASE Extension
    install_requires extras_require entry_points console_scripts dependencies channels variables
    homepage long_description max-line-length python_requires requirements.txt nobody may run this
    pip -e -r hash sha256:abcd egg content-type text/x-rst""".split()
)


def words(text: str) -> set[str]:
    """The words in a file, without comments."""
    lines = [re.sub(r"(^|\\s)#.*", "", line) for line in text.splitlines() if line[:1] != "["]
    found = {word for line in lines for word in re.findall(r"[\w.@/:*~^<>=+-]*[A-Za-z0-9_*]", line)}
    parts = {part for word in found for part in re.split(r"(?<![=<>!~])=(?![=\d])", word)}
    return {re.sub(r"^[\W_]+", "", part).rstrip(":=") for part in parts} - SYNTAX - {""}


def adopted(history: History, project: Path, files: dict[str, str], *options: str) -> str:
    """Adopt a project with these files, and return the notes."""
    (project / "lakes").mkdir(parents=True)
    for name, text in {"lakes/__init__.py": '__version__ = "4.5.6"\n', **files}.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text.lstrip("\n"))
    git(project, "init", "--quiet")
    commit(project, "before")
    command = [sys.executable, str(ROOT / "tasks" / "adopt.py"), str(project)]
    command += ["--template", str(history.path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    return done.stderr.partition("Look at:")[2]


def all_of(project: Path, said: str) -> str:
    found = [project / name for name in ("pyproject.toml", "environment.yml", "README.rst")]
    return said + "".join(path.read_text() for path in found if path.exists())


def test_pyproject_with_setuptools_and_requirements(history: History, tmp_path: Path) -> None:
    project = tmp_path / "project"
    files = {
        "pyproject.toml": PYPROJECT,
        "setup.cfg": SETUP_CFG,
        "setup.py": SETUP_PY,
        "requirements.txt": REQUIREMENTS,
        "requirements-dev.txt": "-r requirements.txt\nhypothesis\n",
        "COPYING": "GNU GENERAL PUBLIC LICENSE\n",
        "README.rst": "Lakes\n=====\n",
        "MANIFEST.in": "include lakes/shapes.json\n",
        "poetry.lock": "\n",
        "docker-compose.yml": "services: {}\n",
    }
    said = adopted(history, project, files)
    made = parse((project / "pyproject.toml").read_text())
    declared = made["project"]
    assert declared["license"] == "GPL-3.0-or-later" and declared["license-files"] == ["COPYING"]
    assert not (project / "LICENSE").exists() and not (project / "README.md").exists()
    assert declared["name"] == "lake-tools" and declared["version"] == "4.5.6"
    assert declared["requires-python"] == ">=3.11,<3.14"
    assert declared["optional-dependencies"] == {
        "plots": ["seaborn", "plotly>=5"],
        "fast": ["numba"],
    }
    assert set(declared["scripts"]) == {"find-lakes", "measure-lakes", "drain"}
    wanted = {
        'numpy>=2.3; python_version >= "3.12"',
        'numpy<2.3; python_version < "3.12"',
        "psycopg2-binary>=2.9",
        "asyncpg",
        "shapely>=2.0",
        "pyproj",
        "fiona>=1.9",
        "affine",
        "tqdm==4.66",
        "waves @ git+https://example.org/waves.git",
        "rivers @ https://example.org/rivers-1.0-py3-none-any.whl",
    }
    assert wanted <= set(declared["dependencies"])
    assert not [each for each in declared["dependencies"] if "airflow" in each]
    assert {"pytest>=8.1", "ipdb", "hypothesis", "ruff>=0.17"} <= set(
        made["dependency-groups"]["dev"]
    )
    assert made["dependency-groups"]["docs"] == ["sphinx", {"include-group": "dev"}]
    assert made["tool"]["ruff"]["line-length"] == 77
    assert made["tool"]["pytest"]["ini_options"]["pythonpath"] == ["."]
    assert made["tool"]["hatch"]["metadata"] == {"allow-direct-references": True}
    for each in ("MANIFEST.in", "poetry.lock", "docker-compose.yml", "setup.py", "apache-airflow"):
        assert each in said
    everything = all_of(project, said)
    for name, text in files.items():
        if name in ("pyproject.toml", "setup.cfg", "setup.py", "requirements.txt"):
            assert not {word for word in words(text) if word not in everything}, name
    assert validated(project)


def validated(project: Path) -> bool:
    """Whether validate-pyproject accepts it; it raises otherwise."""
    from validate_pyproject import api

    return bool(api.Validator()(parse((project / "pyproject.toml").read_text())))


def test_poetry(history: History, tmp_path: Path) -> None:
    project = tmp_path / "project"
    said = adopted(history, project, {"pyproject.toml": POETRY})
    made = parse((project / "pyproject.toml").read_text())
    declared = made["project"]
    assert (declared["name"], declared["version"], declared["license"]) == ("lakes", "3.2.1", "MIT")
    assert declared["requires-python"] == ">=3.11,<3.14"
    wanted = {
        "numpy>=2.2,<3",
        "pandas[parquet]>=2.3.1,<2.4; sys_platform == 'linux'",
        "shapely<2; python_version < '3.12'",
        "shapely>=2; python_version >= '3.12'",
        "depth @ git+https://example.org/depth.git@v1",
        "near",
    }
    assert wanted <= set(declared["dependencies"])
    assert made["tool"]["uv"]["sources"]["near"] == {"path": "../near", "editable": True}
    assert declared["optional-dependencies"] == {"plots": ["seaborn"]}
    assert made["dependency-groups"]["test"] == ["pytest-cov>=5.0,<6"]
    assert {"include-group": "test"} in made["dependency-groups"]["dev"]
    assert declared["scripts"] == {"find-lakes": "lakes.cli:main"}
    assert declared["entry-points"] == {"lakes.plugins": {"shore": "lakes.shore:Shore"}}
    assert "either" in said and "https://wheels.example.org" in said
    everything = all_of(project, said)
    translated = {"^3.11", "^2.2", "~2.3.1", "^5.0"}
    found = {word.lstrip("^~") for word in words(POETRY) - translated}
    assert not {word for word in found if word not in everything}
    assert validated(project)


def test_conda(history: History, tmp_path: Path) -> None:
    project = tmp_path / "project"
    files = {
        "environment.yml": CONDA,
        "requirements.txt": "tqdm==4.66\n",
        "requirements-dev.txt": "ipdb\n",
    }
    said = adopted(history, project, files)
    text = (project / "environment.yml").read_text()
    for line in (
        "  - pytorch\n",
        "  - python=3.11\n",
        "  - numpy=2.1\n",
        "  - pytorch::pytorch>=2.2\n",
        "  - gdal\n",
        "  - psycopg2-binary\n",
        "      - spyndex==0.4\n",
        "      - keras>=3\n",
        "      - ipdb # dev\n",
        "  LAKES_DATA: /lakes\n",
        "      - -e .\n",
    ):
        assert line in text, line
    assert "airflow" not in text and "-r requirements.txt" not in text and "defaults\n" in text
    assert "- defaults" not in text
    assert (
        "tqdm==4.66" in parse((project / "pyproject.toml").read_text())["project"]["dependencies"]
    )
    everything = all_of(project, said)
    assert not {word for word in words(CONDA) if word not in everything}


def test_pixi(history: History, tmp_path: Path) -> None:
    project = tmp_path / "project"
    said = adopted(history, project, {"pixi.toml": PIXI})
    assert not (project / "pixi.toml").exists()  # pixi would read it first
    made = parse((project / "pyproject.toml").read_text())["tool"]["pixi"]
    assert made["workspace"]["channels"] == ["pytorch", "conda-forge"]
    assert made["workspace"]["platforms"] == ["linux-64"]
    assert made["dependencies"]["numpy"] == "2.1.*" and made["dependencies"]["gdal"] == "*"
    assert made["dependencies"]["python"] == ">=3.11,<3.13"
    assert "apache-airflow" not in made["dependencies"] and "apache-airflow" in said
    assert made["pypi-dependencies"]["near"] == {"path": "../near", "editable": True}
    assert made["environments"]["test"] == ["test"]
    assert made["environments"]["default"]["features"] == ["dev", "project", "test"]
    assert made["environments"]["package"]["features"] == []
    assert made["tasks"]["drain"] == "python -m lakes.drain" and made["tasks"]["types"] == "mypy"
    everything = all_of(project, said)
    assert not {word for word in words(PIXI) if word not in everything}
    assert validated(project)


@pytest.mark.parametrize("manager", ["uv", "pixi"])
def test_an_environment_that_nothing_reads(history: History, tmp_path: Path, manager: str) -> None:
    options = ("-d", f"environment_manager={manager}")
    said = adopted(history, tmp_path / "project", {"environment.yml": CONDA}, *options)
    assert "numpy=2.1" in said and "gdal" in said and "spyndex==0.4" in said


def test_of_the_original_only_what_it_generated_is_left_out(template: Template) -> None:
    generated = '[project]\nname = "x"\ndependencies = ["psycopg2-binary"]\nkeywords = ["here"]\n'
    ours = generated.replace('"]\nkey', '", "asyncpg>=0.29"]\nkey')
    as_made = sources.of_original({"pyproject.toml": generated.encode()})
    merged = project.merge(template("pyproject.toml"), pyproject.read(ours, generated), as_made)
    made = parse(merged.text)["project"]
    assert "asyncpg>=0.29" in made["dependencies"] and "psycopg2-binary" not in merged.text
    assert "keywords" not in made and not merged.notes


PIXI_IN_PYPROJECT = """
[project]
name = "lakes"
[project.urls]
Homepage = "https://lakes.example.org"
[tool.pixi.project]
channels = ["conda-forge"]
platforms = ["linux-64"]
[tool.pixi.pypi-dependencies]
lakes = { path = ".", editable = true }
[tool.pixi.dependencies]
numpy = "2.0.2.*"
ruff = ">=0.15,<0.16"
mlflow = ">=3.9,<4"
gdal = "*"
[tool.pixi.tasks.lint]
cmd = "ruff check --fix"
[tool.hatch.build.targets.wheel]
include = ["lakes/**/*"]
"""


def test_pixi_in_pyproject(template: Template) -> None:
    """One package has one version in an environment, and comments stay above their tables."""
    merged = project.merge(template("pyproject.toml", "pixi"), pyproject.read(PIXI_IN_PYPROJECT))
    made = parse(merged.text)
    packages = made["tool"]["pixi"]["dependencies"]
    assert packages["numpy"] == "2.0.2.*" and packages["gdal"] == "*" and "lakes" not in packages
    assert "ruff" not in made["tool"]["pixi"]["feature"]["dev"]["dependencies"]
    assert "numpy" in made["project"]["dependencies"]  # and not >=2.2
    assert {"ruff", "pytest>=9.2"} <= set(made["dependency-groups"]["dev"])
    assert made["tool"]["hatch"]["build"]["targets"]["wheel"] == {"include": ["lakes/**/*"]}
    said = "\n".join(merged.notes)
    assert "numpy = '2.0.2.*': kept" in said and "mlflow" not in said
    assert 'gdal = "*"\n\n# From PyPI' in merged.text
    assert '["lakes/**/*"]\n\n# What the framework needs' in merged.text
    assert "[project.urls]" in merged.text and "\n\n[project.urls]" in merged.text
