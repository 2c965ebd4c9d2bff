"""From a folder, a clone, a URL and a tag; with and without a git repository around."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.generation.conftest import Copier, Git, files_of

COPY = ("copy", "--trust", "--defaults", "-d", "project_name=Forest Watch", "-d", "setup=none")


def answers(project: Path) -> dict[str, str]:
    loaded: dict[str, str] = yaml.safe_load((project / ".copier-answers.yml").read_text("utf-8"))
    return loaded


@pytest.fixture
def clone(copier_template: Path, tmp_path: Path, git: Git) -> Path:
    """A clone with an older release, 0.0.1, whose README differs, and the present one."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", str(copier_template), str(clone))
    readme = clone / "template" / "README.md.jinja"
    present = readme.read_text(encoding="utf-8")
    readme.write_text("# Old\n", encoding="utf-8")
    git(clone, "commit", "-am", "an old release")
    git(clone, "tag", "0.0.1")
    readme.write_text(present, encoding="utf-8")
    git(clone, "commit", "-am", "the present one")
    git(clone, "tag", "100.0.0")
    return clone


@pytest.mark.parametrize(
    ("prefix", "options", "commit"),
    [
        ("", (), "100.0.0"),
        ("git+file://", (), "100.0.0"),
        ("git+file://", ("--vcs-ref", "0.0.1"), "0.0.1"),
        ("", ("--vcs-ref", "HEAD"), "100.0.0"),
    ],
    ids=["clone", "url", "tag", "head"],
)
def test_sources(
    clone: Path,
    copier_command: Copier,
    tmp_path: Path,
    prefix: str,
    options: tuple[str, ...],
    commit: str,
) -> None:
    result = copier_command(*COPY, *options, f"{prefix}{clone}", "project")
    assert result.returncode == 0, result.stderr
    project = tmp_path / "project"
    assert answers(project)["_commit"] == commit
    assert ((project / "README.md").read_text() == "# Old\n") == (commit == "0.0.1")


def test_a_new_project_is_a_repository_of_its_own(
    copier_template: Path, copier_command: Copier, tmp_path: Path, git: Git
) -> None:
    result = copier_command(*COPY, copier_template, "project")
    assert result.returncode == 0, result.stderr
    project = tmp_path / "project"
    assert Path(git(project, "rev-parse", "--show-toplevel").strip()) == project.resolve()
    assert git(project, "status", "--porcelain") == ""
    assert len(git(project, "log", "--oneline").splitlines()) == 1
    tracked = git(project, "ls-files").split()
    assert ".copier-answers.yml" in tracked and ".env" not in tracked
    assert (project / ".env").stat().st_mode & 0o777 == 0o600


def test_inside_a_repository_none_is_made(
    copier_template: Path, copier_command: Copier, tmp_path: Path, git: Git
) -> None:
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "theirs")
    result = copier_command(*COPY, copier_template, "sub/project")
    assert result.returncode == 0, result.stderr
    project = tmp_path / "sub" / "project"
    assert not (project / ".git").exists()
    assert Path(git(project, "rev-parse", "--show-toplevel").strip()) == tmp_path.resolve()
    assert len(git(tmp_path, "log", "--oneline").splitlines()) == 1
    assert git(tmp_path, "diff", "--cached", "--name-only") == ""


def test_into_an_empty_clone(
    copier_template: Path, copier_command: Copier, tmp_path: Path, git: Git
) -> None:
    git(tmp_path, "init", "project")
    result = copier_command(*COPY, copier_template, "project")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "project" / "pyproject.toml").exists()


def test_a_folder_name_with_spaces_and_umlauts(
    copier_template: Path, copier_command: Copier, tmp_path: Path
) -> None:
    result = copier_command(*COPY, copier_template, "Wälder 1 #")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "Wälder 1 #" / "forest_watch" / "__init__.py").exists()


@pytest.mark.parametrize("name", ["$HOME", "100 %"])
def test_a_path_that_services_misread_is_refused(
    copier_template: Path, copier_command: Copier, tmp_path: Path, name: str
) -> None:
    result = copier_command(*COPY, copier_template, f"{name}/project")
    assert result.returncode == 1
    assert "contains $ or %, which Airflow and MLflow don't take literally" in result.stderr
    assert not (tmp_path / name).exists()


def test_the_first_commit_has_every_file_whatever_a_person_ignores(
    copier_template: Path,
    quiet_environment: dict[str, str],
    copier_command: Copier,
    tmp_path: Path,
    git: Git,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ignored = tmp_path / "ignored"
    ignored.write_text("*.ipynb\ndata/\n.env.example\n.github/\n")
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n\texcludesFile = {ignored}\n")
    monkeypatch.setitem(quiet_environment, "GIT_CONFIG_GLOBAL", str(config))
    result = copier_command(*COPY, copier_template, "project")
    assert result.returncode == 0, result.stderr
    project = tmp_path / "project"
    tracked = set(git(project, "ls-files").splitlines())
    secret = (".env", ".gaiaflow/")
    written = {
        name for name in files_of(project) if name == ".env.example" or not name.startswith(secret)
    }
    assert tracked == written


def test_in_a_hook_of_another_repository(
    copier_template: Path,
    quiet_environment: dict[str, str],
    copier_command: Copier,
    tmp_path: Path,
    git: Git,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Git tells its hooks where their repository is, by variables that hold for every git."""
    git(tmp_path, "init", "theirs")
    monkeypatch.setitem(quiet_environment, "GIT_INDEX_FILE", str(tmp_path / "theirs" / "index"))
    result = copier_command(*COPY, copier_template, "project")
    assert result.returncode == 0, result.stderr
    assert git(tmp_path / "project", "status", "--porcelain") == ""


def test_two_generations_are_identical(
    copier_template: Path, copier_command: Copier, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        result = copier_command(*COPY, "--skip-tasks", copier_template, name)
        assert result.returncode == 0, result.stderr
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_nothing_of_this_machine_is_rendered(
    copier_template: Path, copier_command: Copier, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    copier_command(*COPY, "--skip-tasks", copier_template, "project")
    strange = [str(tmp_path), str(copier_template), str(Path.home()) + "/"]
    for name, content in files_of(project).items():
        ours = content.replace(b"/root/.cache/", b"")  # in an image; here it may be our home
        if name != ".copier-answers.yml":
            assert not [s for s in strange if s.encode() in ours], name


def test_the_task_gets_answers_as_they_are_and_runs_once(
    copier_template: Path, copier_command: Copier, tmp_path: Path, git: Git
) -> None:
    template = tmp_path / "template"
    git(tmp_path, "clone", str(copier_template), str(template))
    (template / "tasks" / "generate.py").write_text(
        "import os, pathlib, sys\n"
        "pathlib.Path('seen').write_text('\\n'.join([os.getcwd(), *sys.argv[1:]]))\n"
    )
    git(template, "commit", "-am", "a task that writes down what it is given")
    git(template, "tag", "100.0.0")
    project = tmp_path / "project"
    hostile = "Ada \"'; $(touch x) {{ y }}"
    result = copier_command(*COPY, "-d", f"author_name={hostile}", template, "project")
    assert result.returncode == 0, result.stderr
    cwd, *arguments = (project / "seen").read_text().splitlines()
    assert Path(cwd) == project.resolve()
    assert arguments[0] == "--setup=none"
    assert {"--backend=local", "--example=landcover", f"--author={hostile}"} <= set(arguments)
    (project / "seen").unlink()
    git(project, "init")
    git(project, "add", "-A")
    git(project, "commit", "-m", "generated")
    update = copier_command("update", "--trust", "--defaults", project)
    assert update.returncode == 0, update.stderr
    assert not (project / "seen").exists(), "the task ran in an update"


def test_installed_distribution_is_metadata_only(tmp_path: Path) -> None:
    """`uvx --from git+URL copier` builds this repository: it must bring Copier and no modules."""
    from tests.conftest import ROOT

    if not (ROOT / "README.md").exists():
        pytest.skip("README.md, the distribution's readme, is not there yet")
    import shutil

    from uv import find_uv_bin

    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "extensions", source / "extensions")
    build = [find_uv_bin(), "build", "--wheel", "--out-dir", str(tmp_path / "dist"), str(source)]
    result = subprocess.run(build, capture_output=True, text=True, check=False)
    if "Failed to fetch" in result.stderr or "Could not connect" in result.stderr:
        pytest.skip("no network")
    assert result.returncode == 0, result.stderr
    import zipfile

    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert all(".dist-info/" in name for name in names)


@pytest.mark.parametrize("source", ["clone", "folder/../clone"])
def test_a_relative_path_is_stored_as_a_whole_one(
    clone: Path, copier_command: Copier, tmp_path: Path, source: str
) -> None:
    """Copier stores it as typed, and an update would look for it from another folder."""
    (tmp_path / "folder").mkdir()
    made = copier_command(*COPY, "--vcs-ref=0.0.1", source, "project")
    assert made.returncode == 0, made.stderr
    project = tmp_path / "project"
    assert answers(project)["_src_path"] == str(clone.resolve())
    updated = subprocess.run(
        [sys.executable, "-m", "copier", "update", "--trust", "--defaults", "--quiet"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert updated.returncode == 0, updated.stderr
    assert answers(project)["_commit"] == "100.0.0"
    assert answers(project)["_src_path"] == str(clone.resolve())
