"""What happens with wrong answers, wrong folders and without trust: one sentence, nothing lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from copier import run_copy
from copier.errors import UserMessageError

from extensions.preflight import BOOLEANS
from tests.conftest import ROOT
from tests.generation.conftest import Copier, Git, files_of

NAMED = ("-d", "project_name=Forest Watch", "-d", "setup=none")
COPY = ("copy", "--trust", "--defaults", "--skip-tasks")


def config() -> dict[str, dict[str, object]]:
    loaded: dict[str, dict[str, object]] = yaml.safe_load(
        (ROOT / "copier.yml").read_text(encoding="utf-8")
    )
    return loaded


def test_questions_in_their_order() -> None:
    questions = {k: v for k, v in config().items() if k[0] != "_" and v.get("when") is not False}
    assert list(questions) == [
        "project_name",
        "project_description",
        "author_name",
        "author_email",
        "package_name",
        "show_examples",
        "example",
        "environment_manager",
        "object_store",
        "kubernetes",
        "ci",
        "deploy",
        "license",
        "setup",
        "backend",
        "minikube",
        "creation_date",
    ]
    assert [name for name, question in questions.items() if "default" not in question] == [
        "project_name"
    ]
    for name, question in questions.items():
        assert question["help"], name
        assert "choices" in question or question["type"] == "bool" or "validator" in question, name


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({}, set()),
        ({"setup": "start"}, {"backend"}),
        ({"kubernetes": "true"}, set()),
        ({"setup": "start", "kubernetes": "true"}, {"backend", "minikube"}),
    ],
)
def test_what_is_asked_depends_on_what_was_answered(
    copier_command: Copier,
    copier_template: Path,
    tmp_path: Path,
    answers: dict[str, str],
    asked: set[str],
) -> None:
    data = [f"--data={name}={value}" for name, value in answers.items()]
    made = copier_command(*COPY, *NAMED[:2], *data, copier_template, "project")
    assert made.returncode == 0, made.stderr
    stored = yaml.safe_load((tmp_path / "project" / ".copier-answers.yml").read_text("utf-8"))
    assert stored.keys() & {"backend", "minikube"} == asked


def test_settings_questions_ownership_tasks_migrations_in_this_order() -> None:
    text = (ROOT / "copier.yml").read_text(encoding="utf-8")
    titles = [line.strip("# -") for line in text.splitlines() if line[:5] == "# ---"]
    assert titles == ["Settings", "Questions", "Ownership", "Tasks", "Migrations"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("project_name=", "A project needs a name"),
        ("project_name=a\nb", "one plain line"),
        ("project_name=" + "x" * 81, "80 are allowed"),
        ("project_description=" + "x" * 2001, "2000 are allowed"),
        ("author_name=a\nb", "one plain line"),
        ("author_email=nobody", "is not an email address"),
        ("package_name=class", "Try 'class_project': 'class' is a Python keyword."),
        ("package_name=json", "Try 'json_project': 'json' would hide a module of"),
        ("package_name=airflow", "Try 'airflow_project': 'airflow' would hide a package"),
        ("package_name=dags", "Try 'dags_project': 'dags' is the name of a folder or module"),
        ("package_name=Forêt", "lower-case words"),
        ("package_name=../x", "lower-case words"),
        ("show_examples=perhaps", "neither yes nor no"),
        ("environment_manager=poetry", "not one of: uv, pixi, conda."),
        ("object_store=ftp", "not one of: seaweedfs, rustfs, minio."),
        ("kubernetes=maybe", "neither yes nor no"),
        ("license=WTFPL", "not one of: MIT, Apache-2.0, BSD-3-Clause, proprietary, other."),
        ("setup=all", "not one of: none, environment, start."),
        ("creation_date=yesterday", "is not a date"),
        ("packagename=x", "no question 'packagename'. Did you mean 'package_name'?"),
        ("zzz=x", "Choose from: project_name, "),
        ("user_files=x", "no question 'user_files'"),
    ],
)
@pytest.mark.parametrize("quiet", [False, True], ids=["", "quiet"])
def test_a_wrong_answer_is_refused(
    copier_template: Path, tmp_path: Path, answer: str, reason: str, quiet: bool
) -> None:
    name, _, value = answer.partition("=")
    with pytest.raises(UserMessageError) as refused:
        run_copy(
            str(copier_template),
            tmp_path / "project",
            data={"project_name": "Forest Watch", "setup": "none", name: value},
            defaults=True,
            unsafe=True,
            skip_tasks=True,
            quiet=quiet,
        )
    message = refused.value.message
    assert message.startswith(f"Nothing was generated.\n{name}: ") and reason in message
    assert not (tmp_path / "project").exists()


def test_all_wrong_answers_are_told_at_once(copier_template: Path, copier_command: Copier) -> None:
    wrong = ("-d", "package_name=x y", "-d", "setup=all")
    result = copier_command(*COPY, *NAMED, *wrong, copier_template, "project")
    assert result.returncode == 1
    assert result.stderr.startswith("Nothing was generated.\n") and "Trace" not in result.stderr
    assert "package_name: " in result.stderr and "setup: " in result.stderr


@pytest.mark.parametrize("options", [[], ["--quiet"]], ids=["", "quiet"])
@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("license=WTFPL", "license: 'WTFPL' is not one of: MIT, "),
        ("licence=MIT", "licence: There is no question 'licence'. Did you mean 'license'?"),
    ],
)
def test_an_update_with_a_wrong_answer(
    copier_template: Path,
    copier_command: Copier,
    git: Git,
    tmp_path: Path,
    options: list[str],
    answer: str,
    problem: str,
) -> None:
    project = tmp_path / "project"
    assert copier_command("copy", *COPY[1:3], *NAMED, copier_template, "project").returncode == 0
    before = files_of(project)
    result = copier_command("update", *COPY[1:3], *options, "-d", answer, "project")
    assert result.returncode == 1
    assert f"Nothing was changed.\n{problem}" in result.stderr, result.stderr
    assert "Trace" not in result.stderr
    assert files_of(project) == before
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    "options",
    [pytest.param([], id="", marks=pytest.mark.slow), pytest.param(["--quiet"], id="quiet")],
)
def test_a_stored_answer_that_is_wrong(
    copier_template: Path, copier_command: Copier, git: Git, tmp_path: Path, options: list[str]
) -> None:
    """One that was edited by hand is named; one that no release asks for is no obstacle."""
    project = tmp_path / "project"
    assert copier_command("copy", *COPY[1:3], *NAMED, copier_template, "project").returncode == 0
    answers = project / ".copier-answers.yml"
    text = answers.read_text(encoding="utf-8")
    answers.write_text(f"{text}forgotten: x\n", encoding="utf-8")
    git(project, "commit", "--quiet", "-am", "by hand")
    result = copier_command("update", *COPY[1:3], *options, "project")
    assert result.returncode == 0, result.stderr
    assert answers.read_text(encoding="utf-8") == text
    answers.write_text(text.replace("seaweedfs", "floppy"), encoding="utf-8")
    git(project, "commit", "--quiet", "-am", "by hand again")
    result = copier_command("update", *COPY[1:3], *options, "project")
    assert result.returncode == 1 and "Trace" not in result.stderr
    assert ".copier-answers.yml has invalid answers.\nobject_store: 'floppy' is not" in (
        result.stderr
    )


@pytest.mark.parametrize("options", [[], ["--quiet"]], ids=["", "quiet"])
def test_a_missing_name(
    copier_template: Path, copier_command: Copier, tmp_path: Path, options: list[str]
) -> None:
    result = copier_command(*COPY, *options, copier_template, "project")
    assert result.returncode == 1
    assert "project_name: it has no default. Add: -d project_name=" in result.stderr
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize("word", sorted(BOOLEANS))
def test_words_for_yes_and_no_mean_to_copier_what_they_mean_to_us(word: str) -> None:
    from copier._tools import cast_to_bool

    assert cast_to_bool(word) is (word in {"true", "t", "yes", "y", "on", "1"})


@pytest.mark.parametrize("options", [[], ["--quiet"]], ids=["", "quiet"])
def test_a_folder_that_is_not_empty(
    copier_template: Path, copier_command: Copier, tmp_path: Path, options: list[str]
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "README.md").write_text("mine\n")
    before = files_of(project)
    result = copier_command(*COPY, *options, *NAMED, copier_template, "project")
    assert result.returncode == 1
    assert "not empty (README.md). Choose a new or empty folder." in result.stderr
    assert files_of(project) == before

    result = copier_command(*COPY, "--overwrite", *NAMED, copier_template, "project")
    assert result.returncode == 0, result.stderr
    assert (project / "README.md").read_text() == "mine\n"  # a user's file stays even so
    assert (project / "pyproject.toml").exists()


def test_a_file_in_the_place_of_the_folder(
    copier_template: Path, copier_command: Copier, tmp_path: Path
) -> None:
    (tmp_path / "project").write_text("mine\n")
    result = copier_command(*COPY, *NAMED, copier_template, "project")
    assert result.returncode == 1
    assert "is a file. Choose a new folder" in result.stderr
    assert (tmp_path / "project").read_text() == "mine\n"


def test_generating_again_over_a_project_is_allowed(
    copier_template: Path, copier_command: Copier, tmp_path: Path
) -> None:
    assert copier_command(*COPY, *NAMED, copier_template, "project").returncode == 0
    before = files_of(tmp_path / "project")
    result = copier_command(*COPY, *NAMED, copier_template, "project")
    assert result.returncode == 0, result.stderr
    assert files_of(tmp_path / "project") == before


def test_without_trust(copier_template: Path, copier_command: Copier, tmp_path: Path) -> None:
    """Copier stops before it reads a word of ours, so these words are Copier's own.

    README.md says what the tasks do, and so does the text before the first question.
    """
    result = copier_command("copy", "--defaults", *NAMED, copier_template, "project")
    assert result.returncode == 4
    assert "jinja_extensions, tasks" in result.stderr and "`--trust`" in result.stderr
    assert not (tmp_path / "project").exists()


def test_with_trust_it_says_first_what_the_task_will_do(
    copier_template: Path, copier_command: Copier
) -> None:
    result = copier_command(*COPY, *NAMED, copier_template, "project")
    said = re.split(r"\bcreate\b", result.stderr)[0]
    assert "tasks/generate.py writes .env with fresh secrets" in said
    assert "python3 mlops_manager.py start" in result.stderr
