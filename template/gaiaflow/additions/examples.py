"""The examples of the template, from the release that the project has."""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from gaiaflow.additions import importing
from gaiaflow.additions.adding import Addition
from gaiaflow.project import programs
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_toml
from gaiaflow.project.project import Project
from gaiaflow.update import template

# The DAGs of the examples, each with those that must have run before it.
EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "landcover": (),
    "landcover_batch": ("landcover",),
    "landcover_monitor": ("landcover",),
    "landcover_yaml": (),
    "segmentation": (),
}
_ANSWERS = {"segmentation": "segmentation"}  # to the question `example`; else the project's own
_YAML_LOADER = "dags/yaml_pipelines.py"


def make(project: Project, name: str) -> Addition:
    """The files of an example, with all that they use and their tests.

    Raises:
        GaiaflowError: the project has it, or the template can't be read; the message says why.
    """
    for taken in (project.root / "dags").glob(f"{name}.*"):  # now: reading the template takes long
        raise GaiaflowError(f"{taken.relative_to(project.root)} exists.\nNothing was added.")
    with _rendered(project.root, name) as root:
        dags = [_dag(root, each) for each in (name, *EXAMPLES[name])]
        files = importing.files_used(root, dags)
        package = root / project.identity.package
        code = {file for file in files if file.is_relative_to(package)}
        files = {*code, *dags, *_companions(root, package, code)}
        if any(dag.suffix != ".py" for dag in dags):
            files.add(root / _YAML_LOADER)
        found = {
            _place(project, file.relative_to(root)): file.read_bytes() for file in sorted(files)
        }
        packages = sorted(_packages(root) - _packages(project.root))
    first = str(dags[0].relative_to(root))
    others = {path: found[path] for path in found if path != first}
    return Addition({first: found[first]}, others, packages)


def _packages(root: Path) -> set[str]:
    """The packages that a project declares, also those in groups."""
    declared = read_toml(root / "pyproject.toml")
    groups = declared.get("dependency-groups", {}).values()
    listed = [*declared.get("project", {}).get("dependencies", []), *itertools.chain(*groups)]
    names = (re.match(r"[\w.-]+", each) for each in listed if isinstance(each, str))
    return {re.sub(r"[-_.]+", "-", name[0]).lower() for name in names if name}


@contextmanager
def _rendered(root: Path, name: str) -> Iterator[Path]:
    """The project's release with all examples, in a folder that exists only for a moment."""
    source, release = template.origin(root)
    answers = yaml.safe_load((root / template.ANSWERS).read_text(encoding="utf-8"))
    known = {name: answer for name, answer in answers.items() if not name.startswith("_")}
    with tempfile.TemporaryDirectory(prefix="gaiaflow-") as folder:
        data, made = Path(folder, "answers.yml"), Path(folder, "project")
        known |= {"show_examples": True}
        if name in _ANSWERS:
            known |= {"example": _ANSWERS[name]}
        data.write_text(yaml.safe_dump(known), encoding="utf-8")
        options = ("--quiet", "--trust", "--defaults", "--skip-tasks", f"--vcs-ref={release}")
        programs.say(f"Reading release {release} of {source} ...")
        programs.run(
            [*template.copier(source), "copy", *options, f"--data-file={data}", source, str(made)],
            env=template.copier_env(),
        )
        yield made


def _dag(root: Path, name: str) -> Path:
    found = next((root / "dags").glob(f"{name}.*"), None)
    if found is None:
        raise GaiaflowError(
            f"The project's release does not have the example {name}.\n"
            "Update first: python3 mlops_manager.py update"
        )
    return found


def _companions(root: Path, package: Path, code: set[Path]) -> Iterator[Path]:
    """The tests and notebooks that use nothing of the package but this code."""
    for file in (*(root / "tests").glob("*.py"), *(root / "notebooks").glob("*.ipynb")):
        if "change_me" in file.stem:
            continue
        used = {path for path in importing.imported(root, file) if path.is_relative_to(package)}
        if used and used <= code:
            yield file


def _place(project: Project, path: Path) -> str:
    """A file's path in the project, whose package may be in `src`."""
    first, *rest = path.parts
    return "/".join([project.package_folder if first == project.identity.package else first, *rest])
