"""Each step of a migration, and what happens when one fails."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from copier import run_update

from tasks.merging import FILE, Entry, Tree, merge
from tasks.migrations import (
    DroppedQuestion,
    DroppedSetting,
    Moved,
    RenamedChoice,
    RenamedImport,
    RenamedQuestion,
    RenamedSetting,
    Split,
    Step,
)
from tasks.rendering import ANSWERS, read_answers
from tests.conftest import ROOT
from tests.lifecycle import synthetic
from tests.lifecycle.conftest import PRESENT, History, commit, git, release_after
from tests.lifecycle.test_properties import state_of

TEXT = b"".join(b"line %d\n" % number for number in range(20))


def tree(**files: bytes) -> Tree:
    return {name.replace("__", "/"): Entry(FILE, data) for name, data in files.items()}


def migrated(step: Step, base: Tree, ours: Tree, theirs: Tree) -> Any:
    step.files(base, ours, theirs)
    return merge(base, ours, theirs, "1.0.0")


def test_an_edit_moves_along() -> None:
    edited = TEXT.replace(b"line 3\n", b"mine\n")
    newer = TEXT.replace(b"line 15\n", b"theirs\n")
    made = migrated(Moved("a", "b"), tree(a=TEXT), tree(a=edited), tree(b=newer))
    assert made.tree.keys() == {"b"} and not made.conflicts
    assert b"mine" in made.tree["b"].data and b"theirs" in made.tree["b"].data


def test_a_deleted_file_does_not_come_back_in_its_new_place() -> None:
    assert not migrated(Moved("a", "b"), tree(a=TEXT), tree(), tree(b=TEXT)).tree


def test_a_folder_moves_and_the_users_file_in_it_stays() -> None:
    base, ours = tree(a__x=TEXT), tree(a__x=TEXT, a__mine=b"mine\n")
    made = migrated(Moved("a", "b"), base, ours, tree(b__x=TEXT))
    assert made.tree.keys() == {"b/x", "a/mine"}


def test_edits_go_to_the_part_where_they_fit() -> None:
    first, second = TEXT[: TEXT.index(b"line 10")], TEXT[TEXT.index(b"line 10") :]
    edited = TEXT.replace(b"line 3\n", b"mine 3\n").replace(b"line 16\n", b"mine 16\n")
    made = migrated(Split("a", ["a", "b"]), tree(a=TEXT), tree(a=edited), tree(a=first, b=second))
    assert not made.conflicts
    assert b"mine 3\n" in made.tree["a"].data and b"mine 16\n" not in made.tree["a"].data
    assert b"mine 16\n" in made.tree["b"].data and b"mine 3\n" not in made.tree["b"].data


def test_a_dropped_file_stays_if_the_user_edited_it() -> None:
    made = merge(tree(a=TEXT, b=TEXT), tree(a=TEXT + b"mine\n", b=TEXT), {}, "1.0.0")
    assert made.tree.keys() == {"a"} and made.kept == ["a"] and made.removed == ["b"]


def test_what_both_made_binary_stays_ours_as_a_conflict() -> None:
    made = merge(tree(a=b"\0"), tree(a=b"\0mine"), tree(a=b"\0theirs"), "1.0.0")
    assert made.conflicts == ["a"] and made.tree["a"].data == b"\0mine"


def test_lines_end_as_the_user_has_them() -> None:
    ours = TEXT.replace(b"\n", b"\r\n").replace(b"line 3\r", b"mine\r")
    made = merge(tree(a=TEXT), tree(a=ours), tree(a=TEXT + b"theirs\n"), "1.0.0")
    assert made.merged == ["a"]
    assert made.tree["a"].data == ours + b"theirs\r\n"


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        (RenamedQuestion("a", "b", {"x": "y"}), {"a": "x"}, {"b": "y"}),
        (RenamedQuestion("a", "b"), {"a": "x", "b": "kept"}, {"a": "x", "b": "kept"}),
        (RenamedChoice("a", "x", "y"), {"a": "x"}, {"a": "y"}),
        (RenamedChoice("a", "x", "y"), {"a": "z"}, {"a": "z"}),
        (DroppedQuestion("a"), {"a": 1, "b": 2}, {"b": 2}),
    ],
)
def test_answers(step: Step, before: dict[str, Any], after: dict[str, Any]) -> None:
    step.answers(before)
    assert before == after


def test_settings() -> None:
    text = "# OLD=\nOLD=1\nexport OLDER=2 # why\n"
    assert RenamedSetting("OLD", "NEW").settings(text) == "# OLD=\nNEW=1\nexport OLDER=2 # why\n"
    assert RenamedSetting("OLD", "OLDER").settings(text) == text
    assert "# no longer used: export OLDER=2" in DroppedSetting("OLDER").settings(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from gaiaflow.old import a, b\n", "from gaiaflow.new import a, b\n"),
        ("from gaiaflow.old.sub import a\n", "from gaiaflow.new.sub import a\n"),
        ("from gaiaflow import old\nold.x\n", "from gaiaflow import new as old\nold.x\n"),
        (
            "from gaiaflow import old, tasks\n",
            "from gaiaflow import tasks\nfrom gaiaflow import new as old\n",
        ),
        ("import gaiaflow.old\ngaiaflow.old.x()\n", "import gaiaflow.new\ngaiaflow.new.x()\n"),
        ("import gaiaflow.old as o\n", "import gaiaflow.new as o\n"),
        (
            "if 1:\n    from gaiaflow.old import (\n        a,\n    )\n",
            "if 1:\n    from gaiaflow.new import a\n",
        ),
        ("x = 'from gaiaflow.old import a'\n", "x = 'from gaiaflow.old import a'\n"),
        ("from gaiaflow.older import a\n", "from gaiaflow.older import a\n"),
        ("from .gaiaflow.old import a\n", "from .gaiaflow.old import a\n"),
        ("this is not Python: gaiaflow.old\n", "this is not Python: gaiaflow.old\n"),
    ],
)
def test_imports(before: str, after: str) -> None:
    step = RenamedImport("gaiaflow.old", "gaiaflow.new")
    assert step.code("x.py", before.encode()).decode() == after


def test_imports_of_one_name() -> None:
    step = RenamedImport("gaiaflow.tasks:make", "gaiaflow:create")
    before = b"from gaiaflow.tasks import make, other\r\nmake()\r\n"
    after = b"from gaiaflow.tasks import other\r\nfrom gaiaflow import create as make\r\nmake()\r\n"
    assert step.code("x.py", before) == after


def test_imports_in_a_notebook() -> None:
    step = RenamedImport("gaiaflow.old", "gaiaflow.new")
    before = b'{"source": [\n  "from gaiaflow.old import a\\n",\n  "import gaiaflow.old"\n]}'
    after = b'{"source": [\n  "from gaiaflow.new import a\\n",\n  "import gaiaflow.new"\n]}'
    assert step.code("x.ipynb", before) == after


@pytest.mark.parametrize("method", ["answers", "files", "settings"])
def test_a_failing_migration_leaves_the_project_as_it_was(
    history: History, tmp_path: Path, method: str
) -> None:
    project = history.generate(synthetic.OLD, tmp_path / "project")
    (project / "gaiaflow" / "project" / "errors.py").write_bytes(b"\0 mine\n")
    (project / "mlops_manager.py").unlink()
    commit(project, "our work")
    raising = "raise RuntimeError('broken')"
    release_after(history, project, f"def {method}(self, *arguments):\n    {raising}")
    before = state_of(project)
    with pytest.raises((Exception, SystemExit)):
        run_update(str(project), defaults=True, overwrite=True, unsafe=True, quiet=True)
    assert state_of(project) == before
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "ls-files", "--unmerged") == ""


def test_answers_are_carried_along(history: History, tmp_path: Path) -> None:
    answers = {"flavour": "sweet", "colour": "red", "mood": "bad"}
    project = history.generate(synthetic.OLD, tmp_path / "project", **answers)
    run_update(str(project), vcs_ref=synthetic.NEW, defaults=True, overwrite=True, unsafe=True)
    text = (project / ".copier-answers.yml").read_text(encoding="utf-8")
    assert "taste: sugary" in text and "colour: crimson" in text
    assert "flavour" not in text and "mood" not in text
    module = (project / "gaiaflow" / "made_up" / "answers.py").read_text()
    assert module == "TASTE = 'sugary'\nCOLOUR = 'crimson'\n"
    code = (project / "dags" / "uses_made_up.py").read_text()
    assert "relocated as moved" in code and "gaiaflow.made_up.deeper.relocated.step_2" in code


def test_a_project_in_a_folder_of_a_repository(history: History, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "other").mkdir(parents=True)
    (repository / "other" / "file.txt").write_text("mine\n")
    project = history.generate(synthetic.OLD, repository / "project")
    shutil.rmtree(project / ".git")
    (project / "gaiaflow" / "made_up" / "changed.py").write_text("mine\n")
    git(repository, "init", "--quiet")
    commit(repository, "all")
    run_update(str(project), vcs_ref=synthetic.NEW, defaults=True, overwrite=True, unsafe=True)
    unmerged = git(repository, "ls-files", "--unmerged")
    assert unmerged.count("project/gaiaflow/made_up/changed.py") == 3
    assert (repository / "other" / "file.txt").read_text() == "mine\n"
    done = subprocess.run(
        ["python3", str(project / ".gaiaflow" / "update" / "undo.py")], check=False
    )
    assert done.returncode == 0
    assert git(repository, "status", "--porcelain") == ""


def test_the_example_of_the_documentation(history: History, tmp_path: Path) -> None:
    """A release that follows docs/how-to/write-a-migration.md, with the migration shown there."""
    template = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", str(history.path), str(template))
    git(template, "checkout", "--quiet", PRESENT)
    framework = template / "template" / "gaiaflow"
    (framework / "console.py").rename(framework / "terminal.py")
    for path in [*framework.rglob("*.py"), template / "template" / "docker-compose.yml"]:
        before = path.read_text(encoding="utf-8")
        text = re.sub(r"(?<!rich\.)\bconsole\b(?!=)", "terminal", before)
        path.write_text(text.replace("AIRFLOW_PORT", "AIRFLOW_WEB_PORT"), encoding="utf-8")
    config = template / "copier.yml"
    text = config.read_text(encoding="utf-8")
    config.write_text(re.sub(r"(?m)^.*: minio\n", "", text), encoding="utf-8")
    page = (ROOT / "docs" / "how-to" / "write-a-migration.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"(?s)```python\n(.*?)```", page)
    (template / "tasks" / "migrations" / "v910_0_0.py").write_text(example, encoding="utf-8")
    commit(template, "the example")
    git(template, "tag", "910.0.0")

    project = history.generate(PRESENT, tmp_path / "project", object_store="minio")
    with (project / "gaiaflow" / "console.py").open("a", encoding="utf-8") as file:
        file.write("MINE = 1\n")
    (project / "dags" / "mine.py").write_text("from gaiaflow.console import MINE\n")
    env = (project / ".env").read_text(encoding="utf-8")
    (port,) = re.findall(r"(?m)^AIRFLOW_PORT=(\d+)$", env)
    answers = project / ANSWERS
    text = answers.read_text(encoding="utf-8").replace(str(history.path), str(template))
    answers.write_text(text, encoding="utf-8")
    commit(project, "our work")
    run_update(str(project), defaults=True, overwrite=True, unsafe=True, quiet=True)

    assert git(project, "ls-files", "--unmerged") == ""
    assert not (project / "gaiaflow" / "console.py").exists()
    assert (project / "gaiaflow" / "terminal.py").read_text().endswith("MINE = 1\n")
    assert (project / "dags" / "mine.py").read_text() == "from gaiaflow.terminal import MINE\n"
    assert read_answers(answers.read_bytes())["object_store"] == "seaweedfs"
    env = (project / ".env").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^AIRFLOW_(?:WEB_)?PORT=.*$", env) == [f"AIRFLOW_WEB_PORT={port}"]
