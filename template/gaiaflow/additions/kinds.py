"""Files of one's own, from the skeletons: DAGs with their functions, tasks, notebooks, services."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from gaiaflow import outline, services
from gaiaflow.additions.adding import Addition
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project
from gaiaflow.services import own

SKELETONS = Path(__file__).parent / "skeletons"
KINDS = ("dag", "task", "notebook", "service")  # each a folder of SKELETONS
WITH_EXAMPLES = (*KINDS, "example")
_PACKAGE, _NAME = "my_package", "change_me"  # in the skeletons, in place of one's own
_HELPED = ("dag", "notebook")  # they use what is in the folder `helpers`
_WORD = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LINE = 100  # letters, in the settings of ruff that projects start with


def make(project: Project, kind: str, name: str) -> Addition:
    """The files of this kind, under a name of one's own.

    Args:
        name: for a task, the module in the package, such as "preprocess.clouds".

    Raises:
        GaiaflowError: the name can't be used; the message says why.
    """
    _check(project, kind, name)
    new = dict(_rendered(project, kind, name))
    code = "\n".join(data.decode() for path, data in new.items() if path.endswith(".py"))
    if max(map(len, code.splitlines()), default=0) > _LINE:
        raise GaiaflowError(f"{name} is too long for lines of code. Choose a shorter name.")
    needed = dict(_rendered(project, "helpers", name)) if kind in _HELPED else {}
    for path in [*new, *needed]:
        if path.startswith(f"{project.package_folder}/"):
            folders = [str(each) for each in PurePosixPath(path).parents]
            inside = folders[: folders.index(project.package_folder) + 1]
            needed.update({f"{folder}/__init__.py": b"" for folder in inside})
    return Addition(new, needed)


def _rendered(project: Project, kind: str, name: str) -> Iterator[tuple[str, bytes]]:
    """The files of a skeleton, each with its path in the project."""
    ours = {
        f"{_PACKAGE}.{_NAME}": f"{project.identity.package}.{name}",
        _PACKAGE: project.identity.package,
        _NAME: name.rpartition(".")[2],
    }
    for file in sorted(path for path in (SKELETONS / kind).rglob("*") if path.is_file()):
        top, *rest = file.relative_to(SKELETONS / kind).parts
        # Tests get their prefix here: pytest must not find them in the framework.
        place = f"test_{name.replace('.', '_')}" if top == "tests" else name.replace(".", "/")
        path = "/".join([project.package_folder if top == _PACKAGE else top, *rest])
        text = file.read_text(encoding="utf-8")
        text = re.sub("|".join(map(re.escape, ours)), lambda found: ours[found[0]], text)
        yield path.replace(_NAME, place), text.encode()


def _check(project: Project, kind: str, name: str) -> None:
    words = name.split(".") if kind == "task" else [name]
    if not all(_WORD.fullmatch(word) and not keyword.iskeyword(word) for word in words):
        example = "preprocess.clouds" if kind == "task" else "forest_loss"
        raise GaiaflowError(
            f"{name!r} can't be the name of a {kind}. Use lower-case words joined by underscores, "
            f"such as {example}"
        )
    if kind == "dag" and (taken := outline.read(project.root).get(name)):
        raise GaiaflowError(
            f"{taken.file.relative_to(project.root)} already has the DAG {name}.\n"
            "Choose another name."
        )
    if kind == "service" and (problem := own.name_problem(name, services.RESERVED)):
        raise GaiaflowError(f"{problem}. Choose another name.")
