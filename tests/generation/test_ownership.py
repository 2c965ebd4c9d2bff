"""Every path has exactly one owner, and an update keeps to it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pathspec import PathSpec
from pytest_copier.plugin import CopierFixture, CopierProject

from tests.conftest import ROOT, Render
from tests.generation.conftest import Git, files_of

CLASSES = ["framework_files", "shared_files", "user_files", "generated_files"]


def patterns(name: str, package: str = "forest_watch") -> list[str]:
    config = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    return [re.sub(r"\{\{ package_name.*?\}\}", package, line) for line in config[name]["default"]]


@lru_cache
def specs() -> dict[str, Any]:
    return {name: PathSpec.from_lines("gitignore", patterns(name)) for name in CLASSES}


def owners(path: str) -> list[str]:
    return [name for name, spec in specs().items() if spec.match_file(path)]


@pytest.mark.parametrize("show_examples", [True, False])
@pytest.mark.parametrize("environment_manager", ["uv", "pixi", "conda"])
def test_every_rendered_file_has_one_owner(
    render: Render, show_examples: bool, environment_manager: str
) -> None:
    answers = {"show_examples": show_examples, "environment_manager": environment_manager}
    project = render(**answers, example="segmentation")
    for path in files_of(project):
        assert len(owners(path)) == 1, f"{path}: {owners(path)}"
        assert owners(path) != ["generated_files"]


def test_every_pattern_is_used(render: Render) -> None:
    rendered = files_of(render(environment_manager="conda", kubernetes=True, deploy="kubernetes"))
    rendered |= files_of(render(ci="gitlab", example="segmentation"))
    names = ("framework_files", "shared_files", "user_files", "example_files", "segmentation_files")
    for name in names:
        for pattern in patterns(name):
            matches = PathSpec.from_lines("gitignore", [pattern]).match_files(rendered)
            assert list(matches), f"{name}: nothing is called {pattern}"


@pytest.mark.parametrize("name", ["framework_files", "shared_files"])
def test_what_an_update_merges_has_plain_paths(name: str) -> None:
    """tasks/ownership.py takes these patterns for paths: it saves and reads what is there."""
    for pattern in patterns(name):
        assert re.fullmatch(r"(/[\w.-]+)+", pattern), pattern


def test_example_files_are_the_users(render: Render) -> None:
    with_examples = files_of(render(example="segmentation"))
    of_examples = patterns("example_files") + patterns("segmentation_files")
    for path in PathSpec.from_lines("gitignore", of_examples).match_files(with_examples):
        assert owners(path) == ["user_files"]


@pytest.mark.parametrize("show_examples", [True, False])
def test_no_rendered_file_is_ignored_by_git(
    render: Render, git: Git, tmp_path: Path, show_examples: bool
) -> None:
    """An update loses an ignored file in silence."""
    project = tmp_path / "project"
    shutil.copytree(render(show_examples=show_examples, example="segmentation"), project)
    git(project, "init")
    ignored = git(project, "ls-files", "--others", "--ignored", "--exclude-standard")
    assert ignored == ""


def test_secrets_are_ignored_by_git(render: Render, git: Git, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(render(), project)
    git(project, "init")
    secret = [".env", ".gaiaflow/x", ".venv/x", "kube_config_inline", "data/scene.tif", ".pixi/x"]
    assert git(project, "check-ignore", *secret).split() == secret
    for name in (".gaiaflow", ".venv", ".pixi", ".conda"):  # on a cluster, often in scratch space
        (project / name).symlink_to(tmp_path)
        assert git(project, "check-ignore", name).split() == [name]
    kept = ["uv.lock", "pixi.lock", ".env.example", "data/README.md", ".copier-answers.yml"]
    result = subprocess.run(["git", "-C", project, "check-ignore", *kept], check=False)
    assert result.returncode == 1


def test_no_template_file_is_ignored_in_our_repository(copier_template: Path) -> None:
    """template/.gitignore also applies here: what it hides would never be released."""
    tracked = {path for path in files_of(copier_template) if path.startswith("template/")}
    on_disk = {
        f"template/{path}"
        for path in files_of(ROOT / "template")
        if not {"__pycache__", ".ruff_cache", ".mypy_cache", ".pytest_cache"} & set(path.split("/"))
    }
    ignored = subprocess.run(
        ["git", "-C", copier_template, "ls-files", "--others", "--ignored", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert on_disk <= tracked
    assert on_disk.isdisjoint(ignored)


@pytest.fixture
def project(copier: CopierFixture, tmp_path: Path, git: Git) -> CopierProject:
    """A generated project under git, all committed."""
    project = copier.copy(tmp_path / "project", project_name="Forest Watch", setup="none")
    if not (project.path / ".git").exists():
        git(project.path, "init")
    git(project.path, "add", "-A")
    git(project.path, "commit", "--allow-empty", "-m", "generated")
    return project


def test_the_manager_is_a_program(project: CopierProject, git: Git) -> None:
    listed = git(project.path, "ls-files", "--stage", "mlops_manager.py")
    assert [line.split()[0] for line in listed.splitlines()] == ["100755"]
    assert os.access(project.path / "mlops_manager.py", os.X_OK)


def test_where_uv_lies_is_noted_outside_of_git(project: CopierProject, git: Git) -> None:
    """The Python that generates a project may have it where no other will look."""
    note = project.path / ".gaiaflow" / "uv"
    assert Path(note.read_text(encoding="utf-8").strip(), "uv").exists()
    assert git(project.path, "ls-files", ".gaiaflow") == ""


def release(template: Path, git: Git, tag: str) -> None:
    git(template, "add", "-A")
    git(template, "commit", "-m", tag)
    git(template, "tag", tag)


def test_an_update_to_the_same_release_changes_nothing(project: CopierProject, git: Git) -> None:
    before = files_of(project.path)
    project.update(**project.answers)
    after = files_of(project.path)
    assert {path for path in after if owners(path) != ["generated_files"]} <= set(before)
    assert {path: after.get(path) for path in before} == before
    assert git(project.path, "status", "--porcelain") == ""


def test_the_creation_date_stays(project: CopierProject, git: Git) -> None:
    answers = project.path / ".copier-answers.yml"
    date = project.answers["creation_date"]
    old = answers.read_text(encoding="utf-8").replace(date, "2001-02-03")
    answers.write_text(old, encoding="utf-8")
    git(project.path, "commit", "-am", "as if generated long ago")
    from copier import run_recopy, run_update

    for again in (run_update, run_recopy):
        again(str(project.path), defaults=True, overwrite=True, unsafe=True, skip_tasks=True)
        stored = yaml.safe_load(answers.read_text(encoding="utf-8"))
        assert stored["creation_date"] == "2001-02-03"


def test_an_update_respects_the_owners(
    project: CopierProject, copier_template: Path, tmp_path: Path, git: Git
) -> None:
    """A release changes, adds and drops files of every class; the project's edits survive."""
    template = tmp_path / "template"
    shutil.copytree(copier_template, template)
    answers = project.path / ".copier-answers.yml"
    answers.write_text(
        answers.read_text(encoding="utf-8").replace(str(copier_template), str(template)),
        encoding="utf-8",
    )
    root = project.path
    (root / "dags" / "change_me.py").unlink()  # the user dropped one file
    shutil.rmtree(root / "tests")  # and a folder
    readme = root / "README.md"
    readme.write_text("# Ours now\n", encoding="utf-8")
    manager = root / "mlops_manager.py"
    manager.write_text(manager.read_text(encoding="utf-8") + "\n# ours\n", encoding="utf-8")
    pyproject = root / "pyproject.toml"
    edited = pyproject.read_text(encoding="utf-8").replace(
        '    "boto3', '    "affine>=2",\n    "boto3'
    )
    pyproject.write_text(edited, encoding="utf-8")
    git(root, "add", "-A")
    git(root, "commit", "-m", "our work")
    users = {
        path: content for path, content in files_of(root).items() if owners(path) == ["user_files"]
    }

    source = template / "template"
    for path in (source / "dags").iterdir():
        path.write_text(path.read_text(encoding="utf-8") + "\n# newer\n", encoding="utf-8")
    (source / "dags" / "new_example.py").write_text("# new\n")
    (source / "data" / "README.md").unlink()
    (source / "README.md.jinja").write_text("# Theirs\n")
    (source / "gaiaflow" / "new_module.py").write_text("# new\n")
    framework = source / "mlops_manager.py"
    framework.write_text("# newer\n" + framework.read_text(encoding="utf-8"), encoding="utf-8")
    shared = source / "pyproject.toml.jinja"
    shared.write_text(
        shared.read_text(encoding="utf-8").replace("testpaths", "# newer\ntestpaths"),
        encoding="utf-8",
    )
    release(template, git, "100.0.0")
    CopierProject(root, project.copier).update(**project.answers)

    after = files_of(root)
    assert {p: c for p, c in after.items() if owners(p) == ["user_files"]} == users
    assert not (root / "tests").exists()
    assert not (root / "dags" / "change_me.py").exists()
    assert (root / "gaiaflow" / "new_module.py").exists()
    text = manager.read_text(encoding="utf-8")
    assert text.startswith("# newer\n") and text.endswith("# ours\n")
    text = pyproject.read_text(encoding="utf-8")
    assert '"affine>=2"' in text and "# newer" in text
    assert git(root, "ls-files", "--unmerged") == ""


def test_a_recopy_keeps_the_users_files(project: CopierProject) -> None:
    from copier import run_recopy

    readme = project.path / "README.md"
    readme.write_text("# Ours now\n", encoding="utf-8")
    (project.path / "mlops_manager.py").write_text("broken\n", encoding="utf-8")
    run_recopy(str(project.path), defaults=True, overwrite=True, unsafe=True, skip_tasks=True)
    assert readme.read_text(encoding="utf-8") == "# Ours now\n"
    assert (project.path / "mlops_manager.py").read_text(encoding="utf-8") != "broken\n"
