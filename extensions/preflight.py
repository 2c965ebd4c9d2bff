"""Check the folder and the command line's answers before the first question.

Copier checks an answer from `--data` only when it reaches the question, shows a traceback, and
ignores unknown questions. `preflight()` reports all problems, one sentence each, before anything is
written. Conditions in copier.yml call it because Copier evaluates them even with `--quiet`, when it
renders no messages.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from copier.errors import UserMessageError
from jinja2 import Environment, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context

COPIER_YML = Path(__file__).resolve().parents[1] / "copier.yml"
BOOLEANS = {"true", "t", "yes", "y", "on", "1", "false", "f", "no", "n", "off", "0"}
SHOWN = 4  # file names in a message
OLDEST_PYTHON = (3, 11)


@lru_cache(maxsize=1)
def questions() -> dict[str, dict[str, Any]]:
    """The questions of copier.yml that the user may answer, by name."""
    config = yaml.safe_load(COPIER_YML.read_text(encoding="utf-8"))
    return {
        name: question
        for name, question in config.items()
        if not name.startswith("_") and question.get("when") is not False
    }


def folder_problem(folder: Path, answers_file: str) -> str:
    """Return why a project can't be generated in this folder; "" if it can."""
    if not folder.exists():
        return ""
    if not folder.is_dir():
        return f"'{folder}' is a file. Choose a new folder for the project."
    found = sorted(path.name for path in folder.iterdir() if path.name != ".git")
    if not found or answers_file in found:  # generated from this template before
        return ""
    names = ", ".join(found[:SHOWN]) + (" ..." if len(found) > SHOWN else "")
    return (
        f"The folder '{folder}' is not empty ({names}). Choose a new or empty folder. "
        "With --overwrite, files of the same name are replaced and all others stay."
    )


def python_problem() -> str:
    """Return why Copier's Python can't run the template; "" if it can."""
    if sys.version_info >= OLDEST_PYTHON:
        return ""
    return (
        f"Copier runs in Python {sys.version.split()[0]}, but Gaiaflow needs 3.11 or newer. "
        "Install both in a newer Python, as https://github.com/bcdev/gaiaflow shows."
    )


def path_problem(folder: Path) -> str:
    """Return why a project can't work at this path; "" if it can."""
    if not {"$", "%"} & set(str(folder.resolve())):
        return ""
    return (
        f"The path '{folder.resolve()}' contains $ or %, which Airflow and MLflow don't take "
        "literally. Choose a folder without them."
    )


def answer_problem(environment: Environment, name: str, value: object) -> str:
    """Return what is wrong with an answer from the command line; "" if nothing is."""
    question = questions().get(name)
    if question is None:
        close = get_close_matches(name, questions(), n=1)
        hint = f"Did you mean '{close[0]}'?" if close else f"Choose from: {', '.join(questions())}."
        return f"There is no question '{name}'. {hint}"
    if question["type"] == "bool":
        valid = isinstance(value, bool) or str(value).lower() in BOOLEANS
        return "" if valid else f"'{value}' is neither yes nor no. Use {name}=yes or {name}=no."
    if choices := question.get("choices"):
        values = list(choices.values()) if isinstance(choices, Mapping) else choices
        return "" if value in values else f"'{value}' is not one of: {', '.join(values)}."
    validator = environment.from_string(question.get("validator", ""))
    return validator.render({name: str(value)}).strip()


@pass_context
def preflight(context: Context) -> bool:
    """Return True if the generation or the update may begin.

    Raises:
        UserMessageError: with one line per problem.
    """
    conf = context["_copier_conf"]
    folder, data = Path(conf["dst_path"]), conf["data"]
    answers_file = str(conf["answers_file"])
    problems = [python_problem(), path_problem(folder)]
    if not conf["overwrite"]:
        problems.append(folder_problem(folder, answers_file))
    named = {**conf["settings"].defaults, **conf["user_defaults"], **data}.get("project_name")
    if conf["defaults"] and named is None and not (folder / answers_file).exists():
        problems.append("project_name: it has no default. Add: -d project_name='Forest Watch'")
    stored = "_src_path" in data  # in an update, data is the answers file
    for name, value in data.items():
        if stored and name not in questions():
            continue  # from another release; Copier drops it
        if problem := answer_problem(context.environment, name, value):
            problems.append(f"{name}: {problem}")
    if problems := list(filter(None, problems)):
        verdict = "Nothing was generated."
        if stored:
            verdict = f"Nothing was changed: {answers_file} has invalid answers."
        elif (folder / answers_file).exists():
            verdict = "Nothing was changed."
        raise UserMessageError("\n".join([verdict, *problems]))
    return True


class PreflightExtension(Extension):
    """Globals: preflight()."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals["preflight"] = preflight
