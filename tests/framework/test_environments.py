"""uv is found where it was, also by a Python that it does not lie beside."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gaiaflow.project import environments
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.paths import StateFolder
from gaiaflow.project.programs import find_uv

from .doctor import lone_python, manage, only, script


def find(root: Path, environ: dict[str, str], code: str = "print(find_uv())") -> str:
    """What a Python without packages finds, or what it says."""
    program = f"from gaiaflow.project.programs import *; from pathlib import Path; {code}"
    done = subprocess.run(
        [lone_python(root.parent), "-S", "-B", "-c", program],
        cwd=root,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout or done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize("folder", [".gaiaflow/bin", ".local/bin", ".cargo/bin"])
def test_beside_the_usual_places(bare_project: Path, tmp_path: Path, folder: str) -> None:
    """The first of them is where the first command of README puts it."""
    environ = only(tmp_path)
    assert "uv was not found" in find(bare_project, environ)
    uv = script(Path(environ["HOME"], folder, "uv"), "")
    assert find(bare_project, environ) == str(uv)
    done = manage(bare_project, environ, "doctor", "--json")
    assert str(uv) in done.stdout  # and doctor has nothing against it


def test_where_it_was(bare_project: Path, tmp_path: Path) -> None:
    environ = only(tmp_path)
    uv = script(tmp_path / "any where" / "uv", "")
    there = {**environ, "PATH": str(uv.parent)}
    find(bare_project, there, f"remember_uv(Path({str(bare_project)!r})); print(1)")
    assert find(bare_project, environ) == str(uv)
    uv.unlink()
    assert "uv was not found" in find(bare_project, environ)


def test_airflows_environment_has_one(bare_project: Path, tmp_path: Path) -> None:
    """Else a new lock could not be put into it."""
    uv = script(StateFolder(bare_project).airflow_python.with_name("uv"), "")
    assert find(bare_project, only(tmp_path)) == str(uv)


def test_where_there_is_none_nothing_is_remembered(bare_project: Path, tmp_path: Path) -> None:
    code = f"remember_uv(Path({str(bare_project)!r})); print(2)"
    assert find(bare_project, only(tmp_path), code) == "2"
    assert not (bare_project / ".gaiaflow").exists()


def in_workspace(folder: Path, table: str) -> Path:
    """A uv project in somebody's workspace."""
    (folder / "pyproject.toml").write_text(f"[tool.uv.workspace]\n{table}\n", encoding="utf-8")
    root = folder / "packages" / "forest"
    root.mkdir(parents=True)
    project = "[project]\nname = 'forest'\nversion = '0'\nrequires-python = '>=3.11'\n"
    (root / "pyproject.toml").write_text(f"{project}dependencies = []\n", encoding="utf-8")
    (root / "uv.lock").touch()
    return root


def test_a_member_of_a_uv_workspace_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    root = in_workspace(tmp_path, 'members = ["packages/*"]')
    environment = environments.ProjectEnvironment(root, "uv")
    for act in (environment.make, environment.lock):
        with pytest.raises(GaiaflowError, match=r'exclude = \["packages/forest"\]'):
            act()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packages", "pyproject.toml"]


@pytest.mark.parametrize(
    "table",
    [
        'members = ["packages/*"]\nexclude = ["packages/forest"]',
        'members = ["packages/*"]\nexclude = ["packages/f*"]',
        'members = ["apps/*"]',
        "",
    ],
)
def test_outside_of_the_workspace_all_is_as_usual(tmp_path: Path, table: str) -> None:
    root = in_workspace(tmp_path, table)
    environments.check_workspace(root)
    (root / "uv.lock").unlink()
    subprocess.run([find_uv(), "lock", "--offline"], cwd=root, check=True)
    assert (root / "uv.lock").exists()  # uv sees it like we do
    assert not (tmp_path / "uv.lock").exists()


@pytest.mark.parametrize("name", ["$HOME", "100 %", "a%41"])
def test_a_path_that_services_misread_is_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    with pytest.raises(GaiaflowError, match="Rename the folder whose name has that"):
        environments.make_airflow(root)
    assert not root.exists()
    environments.check_path(tmp_path / "sure? 5 $")


def test_stop_needs_no_whole_environment(bare_project: Path, tmp_path: Path) -> None:
    """One that was cut off while it was made, say, and nothing has ever run."""
    script(StateFolder(bare_project).airflow_python, "exit 1")
    done = manage(bare_project, only(tmp_path), "stop")
    assert (done.returncode, done.stderr) == (0, "Nothing was running.\n")


def test_the_managers_run_where_python_trusts_no_folder(bare_project: Path, tmp_path: Path) -> None:
    done = manage(bare_project, {**only(tmp_path), "PYTHONSAFEPATH": "1"}, "stop")
    assert (done.returncode, done.stderr) == (0, "Nothing was running.\n")
