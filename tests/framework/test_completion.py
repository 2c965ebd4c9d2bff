"""The words that complete a command line; tests/stack/test_additions.py has real shells."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from gaiaflow import completion, outline
from gaiaflow.cli.mlops import MlopsManager
from gaiaflow.completion.known import Known
from gaiaflow.completion.words import complete
from gaiaflow.project import envfile, settings
from gaiaflow.project.identity import read_identity

DAGS = {
    "lakes.py": """
from airflow.sdk import DAG
from gaiaflow import create_task
with DAG("lakes"):
    create_task("load", "forest_watch.lakes:load")
    create_task(task_id="fill", function="forest_watch.lakes:fill")
    EmptyOperator(task_id="end")
with DAG(dag_id="rivers"): ...
DAG(computed())
""",
    "decorated.py": """
@dag(schedule=None)
def ponds():
    @task
    def dig(): ...
    @task(task_id="filled")
    def fill(): ...
""",
    "more/pipelines.yml": "seas: {tasks: {salt: {function: a.b:c}, sail: {}}}\nnot_one: 3\n",
    "broken.py": "with DAG(",
    "broken.yml": "a: [",
}
FUNCTIONS = "def load(path, *, samples=3): ...\ndef fill(): ...\ndef _own(): ...\n"


@pytest.fixture
def root(project_root: Path) -> Path:
    for name, text in DAGS.items():
        file = project_root / "dags" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (project_root / "forest_watch").mkdir()
    (project_root / "forest_watch" / "lakes.py").write_text(FUNCTIONS, encoding="utf-8")
    (project_root / "services").mkdir()
    (project_root / "services" / "dashboard.py").touch()
    envfile.write(project_root / ".env", settings.env_text(read_identity(project_root)))
    return project_root


def test_the_outline_of_dags(root: Path) -> None:
    assert {name: found.tasks for name, found in outline.read(root).items()} == {
        "lakes": ("load", "fill", "end"),
        "rivers": ("load", "fill", "end"),  # tasks are those of the file
        "ponds": ("dig", "filled"),
        "seas": ("salt", "sail"),
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sta", ["start", "status"]),
        ("nonsense ", []),
        ("run --w", ["--watch"]),
        ("run l", ["lakes"]),
        ("run 'l", ["lakes"]),
        ("run --watch r", ["rivers"]),
        ("run seas --from s", ["salt", "sail"]),
        ("run seas --from=sal", ["--from=salt"]),
        ("run --from ", []),  # of which DAG?
        ("run lakes --conf ", []),
        ("start --service da", ["dashboard"]),
        ("start --service mlflow --service ma", ["maps"]),
        ("start --backend ", ["compose", "local"]),
        ("logs airflow-t", ["airflow-triggerer"]),
        ("open ", ["airflow", "mlflow", "jupyterlab", "maps", "dashboard"]),
        ("call forest_watch.lakes:", ["forest_watch.lakes:load", "forest_watch.lakes:fill"]),
        ("call forest_watch.lakes:load s", ["samples="]),
        ("new ta", ["task"]),
        ("new dag ", []),
        ("new example landcover_m", ["landcover_monitor"]),
        ("remove dag ", []),
        ("promote --in ", ["prod", "staging"]),
        ("completion z", ["zsh"]),
        ("get ", []),  # nothing runs
        ("models ", []),
    ],
)
def test_words(root: Path, line: str, words: list[str]) -> None:
    for start in ("python3 mlops_manager.py", "./mlops_manager.py", "python /a/b/mlops_manager.py"):
        assert complete(f"{start} {line}", MlopsManager, Known(root)) == words


def test_every_command_is_among_them(root: Path) -> None:
    words = complete("./mlops_manager.py ", MlopsManager, Known(root))
    assert {"start", "run", "new", "completion", "--help"} <= set(words)


class Scenes(Known):
    """A bucket with names that a shell must quote."""

    def of(self, kind: str, partial: str, before: Sequence[str]) -> list[str]:
        return ["my scene.tif", "my other.tif"] if (kind, before) == ("keys", []) else []


@pytest.mark.parametrize("word", ["my\\ s", "'my s", '"my s', "my' s"])
def test_words_with_spaces(root: Path, word: str) -> None:
    line = f"./mlops_manager.py get {word}"
    assert complete(line, MlopsManager, Scenes(root)) == ["my scene.tif"]


# $1 is the line, $2 what Bash wants to complete of it, $3 the answer of `manage`.
BASH = """
manage() { echo "$known"; }
known=$3 COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=(manage mlops_manager.py "$2") COMP_CWORD=2
_gaiaflow manage "$2" mlops_manager.py
echo "${COMPREPLY[0]}"
"""


@pytest.mark.parametrize(
    ("line", "part", "answer", "inserted"),
    [
        ("get my", "my", "my scene.tif", "my\\ scene.tif"),
        ("get my\\ s", "my\\ s", "my scene.tif", "my\\ scene.tif"),
        ('get "my s', "my s", "my scene.tif", "my scene.tif"),
        ("get my\\ a:b", "b", "my a:b c", "b\\ c"),
        ("call lakes:lo", "lo", "lakes:load", "load"),
        ("call lakes:load path=", "", "path=", ""),
    ],
)
def test_bash_quotes(line: str, part: str, answer: str, inserted: str) -> None:
    command = ["bash", "-c", f"{completion.script('bash')}\n{BASH}", "bash"]
    arguments = [f"manage mlops_manager.py {line}", part, answer]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.stdout == f"{inserted}\n", done.stderr
