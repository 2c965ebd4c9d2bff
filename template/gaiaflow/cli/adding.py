"""`new` and `remove` of `mlops_manager.py`: files of one's own, and the template's examples."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from plumbum import cli

from gaiaflow import console
from gaiaflow.additions import adding, examples, kinds
from gaiaflow.cli import common
from gaiaflow.cli.common import DONE, WrongUse
from gaiaflow.project.project import Project, find_root


class New(cli.Application):
    """Add files to the project that run as they are: a DAG, a task, a notebook, a service

    KIND is dag, task, notebook, service or example. Files that exist stay as they are.
    """

    DESCRIPTION_MORE = """
Examples:
/ new dag forest_loss            # a pipeline with its functions and tests
/ new task preprocess.clouds     # a function in my_project/preprocess/clouds.py, with a test
/ new notebook first_look
/ new service dashboard          # a program that `start` starts with the others
/ new example segmentation       # an example of the template, from this project's release

Undo it while it is unchanged: remove KIND NAME
"""

    def main(self, kind: str, name: str) -> int:
        title = _title(kind, name)
        project = common.project()
        made = (
            examples.make(project, name) if kind == "example" else kinds.make(project, kind, name)
        )
        for path in adding.add(project.root, title, made):
            console.out.print(path, markup=False, soft_wrap=True)
        if differing := adding.differing(project.root, made):
            console.err.print(
                "Kept your versions of these files; they differ from the release's:\n"
                + "".join(f"    {path}\n" for path in differing)
                + "Run the tests before you rely on the example.",
                soft_wrap=True,
            )
        if made.packages:
            console.err.print(_to_install(project, made.packages), markup=False, soft_wrap=True)
        console.err.print(_next_steps(project, kind, name), markup=False, soft_wrap=True)
        return DONE


class Remove(cli.Application):
    """Remove what `new KIND NAME` has added, as long as it is unchanged"""

    def main(self, kind: str, name: str) -> int:
        removed = adding.remove(find_root(), _title(kind, name))
        for path in removed.gone:
            console.out.print(path, markup=False, soft_wrap=True)
        if removed.used:
            console.err.print(
                f"Other files use these, so they stay: {', '.join(removed.used)}", soft_wrap=True
            )
        return DONE


def _title(kind: str, name: str) -> str:
    """What `new` calls an addition, such as "dag forest"."""
    if kind not in kinds.WITH_EXAMPLES:
        raise WrongUse(f"{_unknown('kind', kind, kinds.WITH_EXAMPLES)}\nTry: new dag {name}")
    if kind == "example" and name not in examples.EXAMPLES:
        raise WrongUse(_unknown("example", name, examples.EXAMPLES))
    return f"{kind} {name}"


def _unknown(what: str, word: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"There is no {what} {word!r}.{hint}\nThere are: {', '.join(names)}"


def _next_steps(project: Project, kind: str, name: str) -> str:
    run = "python3 mlops_manager.py"
    if kind == "task":
        function = f"{project.identity.package}.{name}:{name.rpartition('.')[2]}"
        return (
            f"Call it:        {run} call {function}\n"
            f'In a DAG:       create_task("{name.rpartition(".")[2]}", "{function}", {{...}})'
        )
    if kind == "notebook":
        return f"Open it:        {run} open jupyterlab"
    if kind == "service":
        return f"Start it:       {run} start --service {name}\nThen look at it: {run} open {name}"
    return "\n".join(f"Run it:         {run} run {dag}" for dag in (*_before(kind, name), name))


def _to_install(project: Project, packages: Iterable[str]) -> str:
    """How to declare packages, and install them."""
    names = " ".join(packages)
    if project.identity.environment_manager == "conda":
        return (
            f"It needs {names}: add them to environment.yml, at the end of `pip`.\n"
            "Install them:    python3 mlops_manager.py deps"
        )
    command = {"uv": "uv add", "pixi": "pixi add --pypi"}[project.identity.environment_manager]
    return f"Install first:  {command} {names}"


def _before(kind: str, name: str) -> tuple[str, ...]:
    """The DAGs that must have run before."""
    return examples.EXAMPLES[name] if kind == "example" else ()
