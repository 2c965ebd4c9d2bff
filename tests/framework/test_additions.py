"""`new` and `remove`: files of one's own, never over others, and back out again."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from gaiaflow.additions import adding, kinds
from gaiaflow.additions.adding import Addition
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_identity
from gaiaflow.project.project import Project

from .conftest import TEMPLATE


@pytest.fixture
def project(project_root: Path) -> Project:
    package = project_root / "forest_watch"
    package.mkdir()
    (package / "__init__.py").write_text('"""Ours."""\n', encoding="utf-8")
    return Project(project_root, read_identity(project_root), {})


def files(root: Path) -> dict[str, bytes]:
    kept = (path for path in root.rglob("*") if path.is_file() and ".gaiaflow" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in kept}


def write(project: Project, path: str, text: str) -> None:
    file = project.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def new(project: Project, kind: str, name: str) -> list[str]:
    return adding.add(project.root, f"{kind} {name}", kinds.make(project, kind, name))


def remove(project: Project, kind: str, name: str) -> adding.Removed:
    return adding.remove(project.root, f"{kind} {name}")


def test_a_dag_has_its_own_functions(project: Project) -> None:
    before = files(project.root)
    written = new(project, "dag", "lakes")
    after = files(project.root)
    assert set(after) - set(before) == set(written)
    assert {"dags/lakes.py", "forest_watch/train/lakes.py", "tests/test_lakes.py"} <= set(written)
    assert "forest_watch/utils/s3.py" in written  # which they use
    for path in written:
        text = after[path].decode()
        assert "my_package" not in text and "change_me" not in text
        if path.endswith("lakes.py"):
            ast.parse(text)
    assert 'dag_id="lakes"' in after["dags/lakes.py"].decode()
    assert "forest_watch.train.lakes:train" in after["dags/lakes.py"].decode()


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_remove_undoes_it(project: Project, kind: str) -> None:
    before = files(project.root)
    written = new(project, kind, "lakes")
    cache = project.root / written[0]
    if cache.suffix == ".py":
        compiled = cache.parent / "__pycache__" / f"{cache.stem}.cpython-311.pyc"
        compiled.parent.mkdir()
        compiled.touch()
    assert set(remove(project, kind, "lakes").gone) == set(written)
    assert files(project.root) == before
    folders = {path.name for path in project.root.iterdir() if path.is_dir()}
    assert folders == {"forest_watch", ".gaiaflow"}  # no empty ones are left
    with pytest.raises(GaiaflowError, match=f"didn't create {kind} lakes on"):
        remove(project, kind, "lakes")


def test_a_package_in_src(project: Project) -> None:
    (project.root / "src").mkdir()
    (project.root / "forest_watch").rename(project.root / "src" / "forest_watch")
    written = new(project, "task", "water.lakes")
    assert set(written) == {
        "src/forest_watch/water/lakes.py",
        "src/forest_watch/water/__init__.py",
        "tests/test_water_lakes.py",
    }
    text = (project.root / "tests" / "test_water_lakes.py").read_text(encoding="utf-8")
    assert "from forest_watch.water.lakes import lakes\n" in text


@pytest.mark.parametrize("name", ["forest_watch_change_me", "my_package", "change_me"])
def test_names_like_those_of_the_skeletons(project: Project, name: str) -> None:
    new(project, "dag", name)
    text = (project.root / "dags" / f"{name}.py").read_text(encoding="utf-8")
    assert f'"forest_watch.train.{name}:train"' in text and f'dag_id="{name}"' in text


@pytest.mark.parametrize("name", ["Lakes", "2021", "a-b", "a b", "class", "", "../x", "a__b", "é"])
@pytest.mark.parametrize("kind", kinds.KINDS)
def test_names_that_cant_be_used(project: Project, kind: str, name: str) -> None:
    before = files(project.root)
    with pytest.raises(GaiaflowError, match="can't be the name of a"):
        new(project, kind, name)
    assert files(project.root) == before


@pytest.mark.parametrize("name", ["mlflow", "airflow", "airflow-scheduler", "package"])
def test_a_service_with_the_name_of_another(project: Project, name: str) -> None:
    with pytest.raises(GaiaflowError, match=r"name of (another|a) service"):
        new(project, "service", name)


@pytest.mark.parametrize("name", ["calendar", "select"])
def test_a_service_that_would_hide_a_module_of_python(project: Project, name: str) -> None:
    with pytest.raises(GaiaflowError, match=f"{name} would hide a module of Python's standard lib"):
        new(project, "service", name)


@pytest.mark.parametrize(
    ("kind", "name", "existing", "said"),
    [
        ("task", "train", "forest_watch/train/unet.py", "watch/train.py would clash with X/train/"),
        ("task", "train.unet", "forest_watch/train.py", "watch/train/ would clash with X/train.py"),
        ("dag", "lakes", "forest_watch/train.py", "watch/train/ would clash with X/train.py"),
        ("notebook", "lakes", "forest_watch/utils.py", "watch/utils/ would clash with X/utils.py"),
        ("service", "lakes", "services/lakes/page.py", "lakes.py would clash with services/lakes/"),
    ],
)
def test_no_module_hides_another(
    project: Project, kind: str, name: str, existing: str, said: str
) -> None:
    write(project, existing, "mine = 1\n")
    before = files(project.root)
    with pytest.raises(GaiaflowError, match=said.replace("X", "forest_watch")):
        new(project, kind, name)
    assert files(project.root) == before


def test_a_folder_of_data_hides_nothing(project: Project) -> None:
    write(project, "forest_watch/train/areas.csv", "area\n")
    assert "forest_watch/train.py" in new(project, "task", "train")


def test_nothing_is_overwritten(project: Project) -> None:
    mine = project.root / "forest_watch" / "train" / "lakes.py"
    mine.parent.mkdir()
    mine.write_text("mine = 1\n", encoding="utf-8")
    before = files(project.root)
    with pytest.raises(GaiaflowError, match=r"train/lakes\.py exists"):
        new(project, "dag", "lakes")
    assert files(project.root) == before
    dag = project.root / "dags" / "water.py"
    dag.parent.mkdir()
    dag.write_text('DAG("lakes")\n', encoding="utf-8")
    with pytest.raises(GaiaflowError, match=r"dags/water\.py already has the DAG lakes"):
        new(project, "dag", "lakes")


def test_a_file_that_lacks_what_is_needed(project: Project) -> None:
    helpers = project.root / "forest_watch" / "utils" / "s3.py"
    helpers.parent.mkdir()
    helpers.write_text("def put_table(key, table): ...\n\nget_table = beside = None\n", "utf-8")
    before = files(project.root)
    with pytest.raises(GaiaflowError) as error:
        new(project, "dag", "lakes")
    assert str(error.value).startswith("Your versions of these files lack names")
    assert "forest_watch/utils/s3.py: bucket, new_prefix, uri\n" in str(error.value)
    assert "git rm forest_watch/utils/s3.py" in str(error.value)
    assert files(project.root) == before
    new(project, "task", "lakes")  # it doesn't use them


def test_a_changed_file_stays(project: Project) -> None:
    new(project, "dag", "lakes")
    changed = project.root / "forest_watch" / "train" / "lakes.py"
    changed.write_text(changed.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    before = files(project.root)
    with pytest.raises(GaiaflowError, match=r"train/lakes\.py has changed since `new` created it"):
        remove(project, "dag", "lakes")
    assert files(project.root) == before


def test_the_suggested_rm_spares_what_others_use(project: Project) -> None:
    new(project, "dag", "lakes")
    new(project, "dag", "rivers")  # also uses utils/s3.py, which came with lakes
    write(project, "forest_watch/train/lakes.py", "mine = 1\n")
    with pytest.raises(GaiaflowError) as error:
        remove(project, "dag", "lakes")
    suggested = str(error.value).rpartition("\n    rm ")[2].split()
    assert {"dags/lakes.py", "forest_watch/train/lakes.py"} <= set(suggested)
    assert "forest_watch/utils/s3.py" not in suggested


def test_a_changed_file_that_others_use_does_not_matter(project: Project) -> None:
    new(project, "dag", "lakes")
    new(project, "dag", "rivers")
    helpers = project.root / "forest_watch" / "utils" / "s3.py"
    helpers.write_text(helpers.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    removed = remove(project, "dag", "lakes")
    assert "forest_watch/utils/s3.py" in removed.used and "dags/lakes.py" in removed.gone
    assert helpers.exists()


def test_line_ends_are_no_change(project: Project) -> None:
    [path] = new(project, "service", "lakes")
    file = project.root / path
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert remove(project, "service", "lakes").gone == [path]


def test_what_others_use_stays(project: Project) -> None:
    new(project, "dag", "lakes")
    new(project, "dag", "rivers")  # also uses utils/s3.py, which came with lakes
    dag = project.root / "dags" / "mine.yml"
    dag.write_text("mine: {tasks: {a: {function: forest_watch.train.lakes:train}}}\n", "utf-8")
    removed = remove(project, "dag", "lakes")
    assert {"forest_watch/train/lakes.py", "forest_watch/utils/s3.py"} <= set(removed.used)
    assert "forest_watch/model/lakes.py" in removed.used  # train imports it
    assert {"dags/lakes.py", "forest_watch/predict/lakes.py"} <= set(removed.gone)
    assert (project.root / "forest_watch" / "train" / "rivers.py").exists()


def test_what_notebooks_use_stays(project: Project) -> None:
    cells = [
        "%%bash\nls -l",
        "%matplotlib inline\nlakes = !ls\nfrom forest_watch.utils import s3\n",
        ["from forest_watch.train.lakes import (\n", "    train,\n", ")\n", "train?"],
        "!ls \\\n  data\nlakes.files = !ls\n?print\nimport forest_watch.model.lakes",
        "from forest_watch.dataloader import lakes\nfor file in *; do echo; done",
        "!python3 mlops_manager.py call forest_watch.predict.lakes:predict",
    ]
    notebook = {"cells": [{"cell_type": "code", "source": source} for source in cells]}
    new(project, "dag", "lakes")
    write(project, "notebooks/mine/look.ipynb", json.dumps(notebook))
    write(project, "notebooks/broken.ipynb", "{")
    used = set(remove(project, "dag", "lakes").used)
    found = {each for each in used if each.endswith("/lakes.py")}
    rooms = ("dataloader", "model", "model_pipeline", "predict", "train")
    assert found == {f"forest_watch/{room}/lakes.py" for room in rooms}
    assert "forest_watch/utils/s3.py" in used


def test_jupyters_copy_of_a_notebook_uses_nothing(project: Project) -> None:
    written = new(project, "notebook", "lakes")
    text = (project.root / "notebooks" / "lakes.ipynb").read_text(encoding="utf-8")
    write(project, "notebooks/.ipynb_checkpoints/lakes-checkpoint.ipynb", text)
    assert set(remove(project, "notebook", "lakes").gone) == set(written)


def test_all_or_nothing(project: Project) -> None:
    (project.root / "tests").write_text("not a folder\n", encoding="utf-8")
    before = files(project.root)
    with pytest.raises(OSError):
        new(project, "dag", "lakes")
    assert files(project.root) == before
    assert adding.known(project.root) == []


def test_a_half_written_addition_can_be_removed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `kill -9`."""
    before = files(project.root)
    addition = Addition({"dags/a.py": b"a\n", "dags/b.py": b"b\n"}, {})
    adding.add(project.root, "dag a", addition)
    (project.root / "dags" / "b.py").unlink()
    assert adding.remove(project.root, "dag a").gone == ["dags/a.py"]
    assert files(project.root) == before


def test_the_template_starts_with_the_skeletons() -> None:
    """A skeleton is written once: the template's own files include it."""
    for kind in ("dag", "notebook"):
        for file in (kinds.SKELETONS / kind).rglob("change_me.*"):
            place = file.relative_to(kinds.SKELETONS / kind)
            path = place.as_posix().replace("my_package", "{{package_name}}")
            path = path.replace("tests/", "tests/test_")
            included = (TEMPLATE / f"{path}.jinja").read_text(encoding="utf-8")
            assert f'"template/{file.relative_to(TEMPLATE).as_posix()}"' in included
