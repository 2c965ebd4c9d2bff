"""Projects from elsewhere come under this template, with everything that users wrote.

The original itself is not part of this repository: a small stand-in replaces it. To test its real
projects too, set GAIAFLOW_ORIGINAL=CLONE (a clone of the original with its tags).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from copier import run_update

from tasks.adoption import dags, original
from tasks.adoption.pyproject import parse
from tests.conftest import ROOT
from tests.lifecycle import synthetic
from tests.lifecycle.conftest import History, commit, git
from tests.lifecycle.test_properties import state_of

FOLDER = "{{ cookiecutter.folder_name }}"
DAG = """from airflow import DAG
from airflow.utils.task_group import TaskGroup
from task_factory import task_factory

with DAG("maps", schedule_interval="@daily", catchup=False) as dag:
    first = task_factory("first", "{{ cookiecutter.package_name }}.first", {"a": 1})
    second = task_factory(
        "second",
        "{{ cookiecutter.package_name }}.second",
        xcom_pull_tasks={"path": {"task": "first", "key": "return_value"}},
    )
"""
OPERATORS = """from airflow import DAG
from airflow.operators.dummy import DummyOperator
from airflow.operators.python_operator import PythonOperator
from airflow.utils.dates import days_ago
from {{ cookiecutter.package_name }}.steps import first

with DAG("operators", start_date=days_ago(2), schedule_interval=None) as dag:
    PythonOperator(task_id="one", python_callable=first, op_kwargs={"a": 1}, provide_context=True)
    PythonOperator(task_id="two", python_callable=lambda: 2, provide_context=True)
    DummyOperator(task_id="three")
"""
YAML = """default:
  default_args:
    start_date: "2025-02-01"
yaml_maps:
  schedule_interval: "0 0 * * *"
  catchup: false
  task_groups:
    ml:
      tooltip: "a group"
  tasks:
    hello:
      operator: airflow.operators.bash.BashOperator
      bash_command: "echo 1"
    one:
      operator: airflow.operators.python.PythonOperator
      python_callable: {{ cookiecutter.package_name }}.steps.first
      op_kwargs:
        a: 1
      task_group_name: ml
      dependencies: [ hello ]
"""
LOADER = """from pathlib import Path
from airflow import DAG  # noqa
import dagfactory

dag_factory = dagfactory.DagFactory(str(Path(__file__).parent / "maps_config.yml"))
dag_factory.clean_dags(globals())
dag_factory.generate_dags(globals())
"""
FILES = {
    ".env": "AWS_ACCESS_KEY_ID=minio\nAWS_SECRET_ACCESS_KEY=minio123\nOLD_SETTING=1\n",
    ".gitignore": "__pycache__/\n.env\n",
    "README.md": "# {{ cookiecutter.project_name }}\n",
    "mlops_manager.py": "print('the old manager')\n",
    "docker-compose.yml": "services: {}\n",
    "dags/task_factory.py": "def task_factory(): ...\n",
    "dags/maps.py": DAG,
    "dags/operators.py": OPERATORS,
    "dags/maps_config.yml": YAML,
    "dags/generate_maps.py": LOADER,
    "tests/conftest.py": "import os\n",
    "environment.yml": "name: x\ndependencies:\n  - python\n  - keras\n"
    "  - python-dotenv\n  - airflow\n  - psycopg2-binary\n",
    "pyproject.toml": '[project]\nname = "{{ cookiecutter.package_name }}"\nversion = "0.0.1"\n'
    'description = "{{ cookiecutter.project_description }}"\ndependencies = [\n    "keras",\n]\n',
    "{{ cookiecutter.package_name }}/__init__.py": "",
    "{{ cookiecutter.package_name }}/steps.py": "def first(a): ...\n",
    "tests/test_mlops_manager.py": "import mlops_manager\n",
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny original with two tags."""
    folder = tmp_path_factory.mktemp("original")
    git(folder, "init", "--quiet")
    for tag, addition in (("v0.1.0", ""), ("v0.2.0", "# the second\n")):
        for name, text in FILES.items():
            path = folder / FOLDER / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + addition if name.endswith("steps.py") else text)
        git(folder, "add", "--force", "--all")  # .env too, as in the original
        commit(folder, tag)
        git(folder, "tag", tag)
    return folder


def adopt(project: Path, *options: str | Path, code: int) -> str:
    """Run tasks/adopt.py as users do."""
    command = [sys.executable, ROOT / "tasks" / "adopt.py", project, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


@pytest.fixture
def old_project(clone: Path, tmp_path: Path) -> Path:
    """A project of the tiny original's second tag, with edits."""
    answers = {"project_name": "Peat", "package_name": "peat", "folder_name": "p"}
    rendered = original.render(clone, "v0.2.0", {**answers, "project_description": "Maps peat"})
    project = tmp_path / "project"
    for name, data in rendered.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(data)
    (project / ".env").write_text(FILES[".env"].replace("OLD_SETTING=1", "OLD_SETTING=2\nMY_KEY=x"))
    edited = rendered["pyproject.toml"].decode().replace('"keras",', '"keras",\n    "numpy==2.3",')
    (project / "pyproject.toml").write_text(edited + '\n[tool.mine]\nkey = "value"\n')
    (project / "docker-compose.yml").write_text("services: {mine: {}}\n")
    with (project / "tests" / "conftest.py").open("a") as file:
        file.write("OURS = True\n")
    (project / "peat" / "own.py").write_bytes("# Größe\r\n".encode("latin-1"))
    (project / "notebooks").mkdir()
    (project / "notebooks" / "own.ipynb").write_text("{}\n")
    git(project, "init", "--quiet")
    commit(project, "our project")
    return project


def test_a_dry_run_changes_nothing(old_project: Path, clone: Path) -> None:
    before = state_of(old_project)
    said = adopt(old_project, "--dry-run", "--original", clone, code=0)
    assert "v0.2.0" in said and "docker-compose.yml" in said
    assert state_of(old_project) == before


def test_an_old_project(history: History, old_project: Path, clone: Path) -> None:
    before = state_of(old_project)
    said = adopt(old_project, "--original", clone, "--template", history.path, code=3)
    after = state_of(old_project)
    assert "docker-compose.yml: you changed it" in said
    kept = ("README.md", "peat/__init__.py", "peat/steps.py", "peat/own.py", "tests/conftest.py")
    for path in kept:
        assert after[path] == before[path]
    assert after["notebooks/own.ipynb"] == before["notebooks/own.ipynb"]
    adopted = old_project / ".gaiaflow" / "adopted"
    for path in ("docker-compose.yml", "mlops_manager.py", "pyproject.toml", ".env"):
        assert (adopted / path).read_bytes() == before[path][1]
    assert (
        "docker-compose.yml" not in after
        or after["docker-compose.yml"] != before["docker-compose.yml"]
    )
    assert "tests/test_mlops_manager.py" not in after
    pyproject = parse(after["pyproject.toml"][1].decode())
    assert {"keras", "numpy==2.3"} <= set(pyproject["project"]["dependencies"])
    assert pyproject["tool"]["mine"] == {"key": "value"}
    assert pyproject["tool"]["gaiaflow"]["package"] == "peat"
    environment = after["environment.yml"][1].decode()
    assert "- keras" in environment and "- python-dotenv" in environment
    assert "psycopg2" not in environment and "airflow" not in environment
    env = after[".env"][1].decode()
    assert "MY_KEY=x" in env and "OLD_SETTING=2" in env
    assert "=minio" not in env  # a well-known password
    assert (old_project / ".env").stat().st_mode & 0o777 == 0o600
    dag = after["dags/maps.py"][1].decode()
    assert "from airflow.sdk import TaskGroup" in dag and "schedule=" in dag
    assert "task_factory.py" in after and "dags/task_factory.py" not in after
    assert "dags/generate_maps.py" not in after and "dags/yaml_pipelines.py" in after
    assert (adopted / "dags" / "generate_maps.py").read_bytes() == before["dags/generate_maps.py"][
        1
    ]

    commit(old_project, "adopted")
    adopted_state = state_of(old_project)
    run_update(str(old_project), defaults=True, overwrite=True, unsafe=True, vcs_ref=synthetic.NEW)
    assert git(old_project, "status", "--porcelain") == ""
    left_out = {".env"}  # adopted with this tree's settings; the made-up release has more
    now = state_of(old_project)
    assert {path: now[path] for path in now.keys() - left_out} == {
        path: adopted_state[path] for path in adopted_state.keys() - left_out
    }


def test_adoption_can_be_undone(history: History, old_project: Path, clone: Path) -> None:
    before = state_of(old_project)
    adopt(old_project, "--original", clone, "--template", history.path, code=3)
    undo = old_project / ".gaiaflow" / "update" / "undo.py"
    subprocess.run([sys.executable, str(undo)], check=True)
    assert state_of(old_project) == before
    status = git(old_project, "status", "--porcelain", "--ignored").split("\n")
    assert all(".gaiaflow/" in line or line == "!! .env" for line in status if line)


def test_a_plain_repository(history: History, tmp_path: Path) -> None:
    project = tmp_path / "plain"
    (project / "lakes").mkdir(parents=True)
    (project / "lakes" / "__init__.py").write_text("DEPTH = 3\n")
    (project / "data").mkdir()
    (project / "data" / "scene.bin").write_bytes(b"\0" * 100)
    (project / "Makefile").write_text("all:\n")
    (project / "pyproject.toml").write_text('[project]\nname = "lakes"\nversion = "2.1"\n')
    git(project, "init", "--quiet")
    commit(project, "plain")
    before = state_of(project)
    adopt(project, "--template", history.path, code=0)
    after = state_of(project)
    for path, entry in before.items():
        assert path == "pyproject.toml" or after[path] == entry
    assert parse(after["pyproject.toml"][1].decode())["project"]["version"] == "2.1"
    assert "gaiaflow/project/settings.py" in after and "tests/test_dags.py" in after


def another_package(project: Path) -> None:
    (project / "rivers").mkdir()
    (project / "rivers" / "__init__.py").write_text("")
    commit(project, "two packages")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda project: (project / "new.txt").write_text("x"), "uncommitted"),
        (lambda project: (project / ".copier-answers.yml").write_text("x"), "update"),
        (another_package, "package_name="),
    ],
)
def test_what_is_refused(tmp_path: Path, change: object, word: str) -> None:
    project = tmp_path / "project"
    (project / "lakes").mkdir(parents=True)
    (project / "lakes" / "__init__.py").write_text("")
    git(project, "init", "--quiet")
    commit(project, "first")
    change(project)  # type: ignore[operator]
    before = state_of(project)
    said = adopt(project, code=1)
    assert word in said and "Nothing was changed" in said
    assert state_of(project) == before


def test_a_dag_with_python_operators() -> None:
    before = b"""from airflow import DAG
from airflow.operators.python import PythonOperator
from peat import first

with DAG("maps", schedule_interval=None):
    PythonOperator(task_id="one", python_callable=first)
"""
    made = dags.rewrite(before, "peat")
    assert b'task_factory(task_id="one", func_path="peat:first")' in made.data
    assert b"from peat" not in made.data and b"schedule=None" in made.data
    assert not made.notes


def check_dags(project: Path, airflow: Path) -> None:
    """All DAGs of a project load in Airflow 3, by the test that adoption adds."""
    (project / ".gaiaflow" / "airflow").symlink_to(airflow)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_dags.py"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 skipped" in done.stdout  # they are stricter than users' DAGs


@pytest.mark.slow
@pytest.mark.xdist_group("command")
def test_adopted_dags_load_in_airflow(
    history: History, old_project: Path, clone: Path, airflow: Path
) -> None:
    adopt(old_project, "--original", clone, "--template", history.path, code=3)
    check_dags(old_project, airflow)


def test_without_the_original_all_is_kept(history: History, old_project: Path) -> None:
    """Updates come from the origin of the template's clone."""
    template = old_project.parent / "gaiaflow"
    git(old_project.parent, "clone", "--quiet", str(history.path), str(template))
    before = state_of(old_project)
    nowhere = {"COUNT": "1", "KEY_0": "url./nowhere/.insteadOf", "VALUE_0": "https://github.com/"}
    done = subprocess.run(
        [sys.executable, template / "tasks" / "adopt.py", old_project],
        env={**os.environ, **{f"GIT_CONFIG_{name}": value for name, value in nowhere.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "can't be reached" in done.stderr and "--original" in done.stderr
    after = state_of(old_project)
    for path in ("peat/steps.py", "peat/own.py", "tests/conftest.py", "notebooks/own.ipynb"):
        assert after[path] == before[path]
    adopted = old_project / ".gaiaflow" / "adopted"
    for path in before.keys() - after.keys():
        assert (adopted / path).read_bytes() == before[path][1]
    pyproject = parse(after["pyproject.toml"][1].decode())
    assert {"keras", "numpy==2.3"} <= set(pyproject["project"]["dependencies"])
    assert "OLD_SETTING=2" in after[".env"][1].decode()
    assert f"_src_path: {history.path}\n" in after[".copier-answers.yml"][1].decode()


CREATE_TASK = """from airflow import DAG
from gaiaflow.core.create_task import create_task
from gaiaflow.core.operators import FromTask

with DAG("own", schedule="@daily", catchup=False) as dag:
    create_task(task_id="a", func_path="peat_maps.own:a", func_kwargs={"x": 1}, mode="dev", dag=dag)
    create_task(
        task_id="positions",
        func_path="peat_maps.own:two",
        func_args=[FromTask(task="a"), 3],
        mode="dev",
        dag=dag,
    )
    create_task(
        task_id="b",
        func_path="peat_maps.own:b",
        func_kwargs={"a": FromTask(task="a", key="a")},
        env_vars={"N": 1},
        mode="dev",
        dag=dag,
    )
"""


@pytest.mark.xdist_group("command")
@pytest.mark.parametrize("examples", ["yes", "no"])
@pytest.mark.parametrize("tag", ["v0.1.0", "v0.1.1", "v0.1.2", "v0.2.0", "v0.3.0", "v1.0.0"])
def test_the_original(
    history: History, airflow: Path, tmp_path: Path, tag: str, examples: str
) -> None:
    where = os.environ.get("GAIAFLOW_ORIGINAL")
    if not where:
        pytest.skip("GAIAFLOW_ORIGINAL is not set to a clone of the original")
    answers = SimpleNamespace(
        project_name="Peat",
        project_description="Maps",
        author_name="A",
        author_email="a@b.de",
        folder_name="peat",
        package_name="peat_maps",
        show_examples=examples,
        use_minio="yes",
        use_dag_factory=examples,
    )
    rendered = original.render(Path(where), tag, vars(answers))
    project = tmp_path / "project"
    for name, data in rendered.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(data)
    if examples == "no":  # as the original's hook does
        for file in [*project.glob("dags/example_*"), *project.glob("*/*/example_*.py")]:
            file.unlink()
    own = {"task_factory": DAG, "create_task": CREATE_TASK}.get(
        "create_task" if tag == "v1.0.0" else "task_factory" if tag >= "v0.2" else "", OPERATORS
    )
    own = own.replace("{{ cookiecutter.package_name }}", "peat_maps")
    (project / "dags" / "own.py").write_text(own)
    (project / "peat_maps" / "own.py").write_text("def two(one, other, params): ...\n")
    with (project / ".github" / "workflows" / "unittest.yml").open("a") as workflow:
        workflow.write("# ours\n")
    git(project, "init", "--quiet")
    commit(project, "made by the original")
    before = state_of(project)
    said = adopt(project, "--original", where, "--template", history.path, code=3)
    assert f"original cookiecutter, {tag}." in said or tag.startswith("v0.1")
    after = state_of(project)
    adopted = project / ".gaiaflow" / "adopted"
    for path, entry in before.items():  # in its place, in the backup, or a rewritten DAG
        kept = after.get(path) == entry or (path.startswith("dags/") and path in after)
        assert kept or (adopted / path).read_bytes() == entry[1], path
    assert parse((project / "pyproject.toml").read_text())["tool"]["gaiaflow"]
    check_dags(project, airflow)
