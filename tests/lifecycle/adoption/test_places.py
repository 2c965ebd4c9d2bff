"""Where a project and its package are: in src/, in a folder of a larger repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.adoption.pyproject import parse
from tests.conftest import ROOT
from tests.lifecycle.conftest import History, commit, git
from tests.lifecycle.test_properties import state_of


def adopt(history: History, project: Path, *options: str) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / "tasks" / "adopt.py"), str(project)]
    command += ["--template", str(history.path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def repository(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "--quiet")
    commit(folder, "before")
    return folder


def undo(project: Path) -> None:
    subprocess.run([sys.executable, str(project / ".gaiaflow/update/undo.py")], check=True)


def test_a_package_in_src_stays_there(history: History, tmp_path: Path) -> None:
    files = {"src/lakes/__init__.py": "", "src/rivers/__init__.py": ""}
    pyproject = '[project]\nname = "lakes"\n[tool.mypy]\nstrict = false\n'
    project = repository(tmp_path / "project", **files, **{"pyproject.toml": pyproject})
    before = state_of(project)
    code, said = adopt(history, project)
    assert code == 0, said
    after = state_of(project)
    assert all(after[path] == before[path] for path in files)
    made = parse((project / "pyproject.toml").read_text())["tool"]
    wheel = made["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["src/lakes", "src/rivers"]
    assert made["mypy"]["files"] == ["src", "tests", "dags"] and made["mypy"]["strict"] is False
    assert made["pytest"]["ini_options"]["pythonpath"] == [".", "src"]
    assert not (project / "lakes").exists()
    undo(project)
    assert state_of(project) == before


def test_the_project_in_src_is_installed(history: History, tmp_path: Path) -> None:
    """With the tool that creates the environment, and only the package itself."""
    files = {
        "src/lakes/__init__.py": "DEPTH = 3\n",
        "pyproject.toml": '[project]\nname = "lakes"\n',
    }
    project = repository(tmp_path / "project", **files)
    assert adopt(history, project)[0] == 0
    python = tmp_path / "venv" / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", str(tmp_path / "venv")], check=True)
    install = [*uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python)]
    done = subprocess.run(
        [*install, "-e", str(project)], capture_output=True, text=True, check=False
    )
    if "Failed to fetch" in done.stderr or "error sending request" in done.stderr:
        pytest.skip("packages cannot be fetched here")
    assert done.returncode == 0, done.stderr
    look = "import lakes; print(lakes.DEPTH)"
    assert subprocess.check_output([python, "-c", look], text=True, cwd=tmp_path) == "3\n"


def test_a_folder_of_a_larger_repository(history: History, tmp_path: Path) -> None:
    top = repository(
        tmp_path / "all",
        **{"water/lakes/__init__.py": "", "water/.env": "A=1\n", "other/x.txt": "x\n"},
    )
    project = top / "water"
    (top / "other" / "x.txt").write_text("changed, but irrelevant here\n")
    before = state_of(top)
    code, said = adopt(history, project)
    assert code == 3 and "GitHub runs workflows from the top" in said
    assert (project / "mlops_manager.py").is_file() and not (top / "mlops_manager.py").exists()
    assert "water/.env" not in git(top, "ls-files").split("\n")
    undo(project)
    left = {path: entry for path, entry in state_of(top).items() if ".gaiaflow/" not in path}
    assert left == before


def test_not_a_repository(history: History, tmp_path: Path) -> None:
    (tmp_path / "lakes").mkdir()
    (tmp_path / "lakes" / "__init__.py").touch()
    code, said = adopt(history, tmp_path)
    assert code == 1 and "is not in a git repository" in said


def test_a_second_package_and_other_configuration_are_named(
    history: History, tmp_path: Path
) -> None:
    project = repository(
        tmp_path / "project",
        **{
            "lakes/__init__.py": "",
            "rivers/__init__.py": "",
            "pytest.ini": "[pytest]\naddopts = -q\n",
            "setup.cfg": "[mypy]\nstrict = False\n",
        },
    )
    code, said = adopt(history, project, "-d", "package_name=lakes")
    made = parse((project / "pyproject.toml").read_text())["tool"]
    assert code == 3 and "rivers: also a package" in said
    assert "pytest.ini configures pytest" in said and "setup.cfg configures mypy" in said
    assert not {"pytest", "mypy"} & set(made) and "ruff" in made


def test_a_python_without_the_tools_is_told_how_to_get_them(tmp_path: Path) -> None:
    bare = [sys.executable, "-S", str(ROOT / "tasks" / "adopt.py"), str(tmp_path)]
    done = subprocess.run(bare, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "tomlkit" in done.stderr
    assert f"-m pip install --upgrade {ROOT}" in done.stderr and "Traceback" not in done.stderr
