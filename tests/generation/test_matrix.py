"""Every pair of answers, hostile text and the longest and shortest names render to a sound project.

All combinations would be 432; each pair of answers occurs in a dozen of them.
"""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from validate_pyproject.api import Validator

from gaiaflow.additions import adding, kinds
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_identity
from gaiaflow.project.project import Project

from extensions.pins import PYTORCH_CPU, pin
from tests.conftest import Render

Answers = dict[str, Any]

CHOICES: dict[str, list[Any]] = {
    "show_examples": [True, False],
    "example": ["landcover", "segmentation"],
    "environment_manager": ["uv", "pixi", "conda"],
    "object_store": ["seaweedfs", "rustfs", "minio"],
    "kubernetes": [False, True],
    "ci": ["github", "gitlab", "none"],
    "deploy": ["none", "kubernetes"],
    "license": ["MIT", "Apache-2.0", "BSD-3-Clause", "proprietary"],
}
HOSTILE = 'quotes """ \' back\\slash # {{ x }} {% y %} 🌍 <b>&amp; 1*2*3'


def pairwise(choices: dict[str, list[Any]]) -> list[Answers]:
    """Choose few combinations that hold every pair of values of two questions (greedily)."""
    combinations = [
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    ]

    def pairs(answers: Answers) -> set[tuple[tuple[str, Any], ...]]:
        return set(itertools.combinations(answers.items(), 2))

    missing = set().union(*map(pairs, combinations))
    chosen = []
    while missing:
        best = max(combinations, key=lambda answers: len(pairs(answers) & missing))
        chosen.append(best)
        missing -= pairs(best)
    return chosen


SPECIAL: list[Answers] = [
    {
        "project_name": HOSTILE,
        "project_description": HOSTILE + "\nsecond line\r\n\x00\x07\u2028third",
        "author_name": HOSTILE,
        "author_email": "",
    },
    {"author_name": "", "author_email": "team@example.org", "project_name": "森林"},
    {"author_name": "", "author_email": "", "project_description": ""},
    {"package_name": "a", "environment_manager": "conda"},
    {"package_name": "z" * 40, "environment_manager": "pixi", "show_examples": False},
    {"package_name": "z" * 40, "example": "segmentation", "license": "other"},
]
MATRIX = pairwise(CHOICES) + SPECIAL


def name_of(answers: Answers) -> str:
    return "-".join(re.sub(r"\W+", "_", str(value))[:12] for value in answers.values())


@pytest.fixture(params=MATRIX, ids=name_of)
def answers(request: pytest.FixtureRequest) -> Answers:
    return dict(request.param)


@pytest.fixture
def project(render: Render, answers: Answers) -> Path:
    return render(**answers)


def load_pyproject(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_file_is_valid(project: Path) -> None:
    for path in filter(Path.is_file, project.rglob("*")):
        name = path.relative_to(project).as_posix()
        text = path.read_text(encoding="utf-8")
        assert not name.endswith(".jinja")
        assert text.endswith("\n") or not text, f"{name}: no line break at the end"
        assert not re.search(r"[ \t]$", text, re.M), f"{name}: white space at the end of a line"
        assert "\n\n\n\n" not in text, f"{name}: empty lines"
        if path.suffix == ".py":
            ast.parse(text, filename=name)
        elif path.suffix == ".toml":
            tomllib.loads(text)
        elif path.suffix in {".yml", ".yaml"}:
            list(yaml.safe_load_all(text))
        elif path.suffix in {".json", ".ipynb"}:
            json.loads(text)


def test_no_jinja_is_left(project: Path, answers: Answers) -> None:
    for path in filter(Path.is_file, project.rglob("*")):
        # GitHub's expressions, Go's templates and f-strings with doubled braces are not Jinja.
        text = re.sub(r"\$\{\{.*?\}\}", "", path.read_text(encoding="utf-8"))
        if HOSTILE in answers.values():  # it says {{ x }}, escaped in one way or another
            text = re.sub(r"\\?\{\\?\{ x \\?\}\\?\}|\\?\{% y %\\?\}", "", text)
        left = re.search(r"\{%.*%\}|\{#.*#\}|(?<!\{)\{\{ ?[a-z_][a-z_.]* ?(\|.*?)?\}\}(?!\})", text)
        if left and path.suffix == ".py":
            continue_if_python(path, left[0])
        else:
            assert not left, f"{path.relative_to(project)}: {left and left[0]}"


def continue_if_python(path: Path, found: str) -> None:
    """In Python, Airflow's own templates ("{{ ds }}") may stand in string literals only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    alike = (found, found[1:-1])  # in an f-string, braces are doubled
    assert any(isinstance(s, str) and part in s for s in strings for part in alike), (
        f"{path}: {found}"
    )


def test_ruff(project: Path) -> None:
    for command in (["check", "--output-format=concise"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "."]
        result = subprocess.run(ruff, cwd=project, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


def test_what_new_adds_is_as_clean(project: Path, tmp_path: Path) -> None:
    """Whatever the package and the addition are called, as long as `new` accepts the name."""
    project = shutil.copytree(project, tmp_path / "project")
    made = Project(project, read_identity(project), {})
    for kind in kinds.KINDS:
        for length in (1, 20, 40):
            with contextlib.suppress(GaiaflowError):
                name = f"{kind[0]}" * length
                adding.add(project, f"{kind} {name}", kinds.make(made, kind, name))
    assert (project / "dags" / "d.py").exists()
    test_every_file_is_valid(project)
    test_ruff(project)


def test_pyproject(project: Path, answers: Answers) -> None:
    pyproject = load_pyproject(project)
    Validator()(pyproject)
    metadata, ours = pyproject["project"], pyproject["tool"]["gaiaflow"]
    assert (project / ours["package"] / "__init__.py").is_file()
    assert metadata["name"] == ours["package"].replace("_", "-")
    assert pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [ours["package"]]
    for name in ("environment_manager", "object_store", "kubernetes"):
        assert ours[name] == answers.get(name, CHOICES[name][0])
    assert "\n" not in metadata["description"]
    if "author_name" in answers:
        author = {"name": answers["author_name"], "email": answers["author_email"]}
        author = {key: value for key, value in author.items() if value}
        assert metadata.get("authors", []) == ([author] if author else [])


def test_license(project: Path, answers: Answers) -> None:
    chosen = answers.get("license", "MIT")
    if chosen == "other":  # the user writes it
        assert not (project / "LICENSE").exists()
        assert not {"license", "license-files"} & set(load_pyproject(project)["project"])
        return
    text = (project / "LICENSE").read_text(encoding="utf-8")
    metadata = load_pyproject(project)["project"]
    first_words = {
        "MIT": "MIT License",
        "Apache-2.0": "Apache License",
        "BSD-3-Clause": "BSD 3-Clause License",
        "proprietary": "Copyright (c) ",
    }
    assert text.strip().startswith(first_words[chosen])
    assert ("All rights reserved." in text) == (chosen == "proprietary")
    assert metadata["license"] == {"proprietary": "LicenseRef-Proprietary"}.get(chosen, chosen)
    assert ("classifiers" in metadata) == (chosen == "proprietary")
    holder = answers.get("author_name") or answers.get("project_name", "Forest Watch")
    if "author_name" in answers:
        assert f"{holder}" in text
    assert re.search(r"Copyright (\(c\) )?20\d\d ", text)


def locked(*names: str) -> dict[str, str]:
    return {name: pin(name) for name in names}


def required(project: Path) -> dict[str, str]:
    """Locked versions of all direct dependencies in pyproject.toml."""
    pyproject = load_pyproject(project)
    groups = [pyproject["project"]["dependencies"], *pyproject["dependency-groups"].values()]
    requirements = itertools.chain(*groups)
    return locked(*(re.split(r"[<>=]", requirement)[0] for requirement in requirements))


def has_torch(answers: Answers) -> bool:
    return answers.get("show_examples", True) and answers.get("example") == "segmentation"


def uncommented(text: str, words: str) -> str:
    """A file in which somebody has removed the "# " before a line with these words."""
    changed, count = re.subn(rf"(?m)^( *)# (?=.*{re.escape(words)})", r"\1", text)
    assert count == 1
    return changed


def test_pytorch_is_a_group_of_its_own(project: Path, answers: Answers) -> None:
    pyproject = load_pyproject(project)
    assert ("deep-learning" in pyproject["dependency-groups"]) == has_torch(answers)
    text = (project / "pyproject.toml").read_text(encoding="utf-8")
    assert ("torch" in text) == has_torch(answers)
    if not has_torch(answers):
        return
    manager = answers.get("environment_manager", "uv")
    if manager == "uv":
        assert pyproject["tool"]["uv"]["default-groups"] == ["dev", "deep-learning"]
        [index] = pyproject["tool"]["uv"]["index"]
        changed = tomllib.loads(uncommented(text, "sources.torch"))["tool"]["uv"]
        assert changed["sources"]["torch"] == {"index": index["name"]} and index["explicit"]
    elif manager == "pixi":
        torch = {"version": f"=={pin('torch')}"}
        group = pyproject["tool"]["pixi"]["feature"]["deep-learning"]["pypi-dependencies"]
        assert group["torch"] == torch
        lines = [line for line in text.splitlines(keepends=True) if not line.startswith("torch =")]
        changed = tomllib.loads(uncommented("".join(lines), "torch = "))["tool"]["pixi"]["feature"]
        group = changed["deep-learning"]["pypi-dependencies"]
        assert group["torch"] == {**torch, "index": PYTORCH_CPU}
    else:
        text = (project / "environment.yml").read_text(encoding="utf-8")
        changed = yaml.safe_load(uncommented(text, "--extra-index-url"))
        pip = changed["dependencies"][-1]["pip"]
        assert f"--extra-index-url={PYTORCH_CPU}" in pip


def test_conda_environment(project: Path, answers: Answers) -> None:
    path = project / "environment.yml"
    assert path.exists() == (answers.get("environment_manager") == "conda")
    if not path.exists():
        return
    environment = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(environment) == {"name", "channels", "dependencies"}
    assert environment["name"] == load_pyproject(project)["project"]["name"]
    *packages, pip = environment["dependencies"]
    assert packages[:2] == ["python=3.12", "pip"]
    pinned = dict(spec.split("=", 1) for spec in packages[2:])
    *from_pypi, itself = pip["pip"]
    pinned |= dict(spec.split("==", 1) for spec in from_pypi)
    assert itself == "-e ."
    assert pinned == required(project)


def test_pixi_tables(project: Path, answers: Answers) -> None:
    pyproject = load_pyproject(project)
    pixi = pyproject["tool"].get("pixi")
    assert (pixi is not None) == (answers.get("environment_manager") == "pixi")
    if pixi is None:
        return
    assert set(pixi) == {
        "workspace",
        "dependencies",
        "pypi-dependencies",
        "feature",
        "environments",
        "tasks",
    }
    assert pixi["workspace"]["channels"] == ["conda-forge"]
    assert set(pixi["workspace"]) == {"channels", "platforms"}
    pypi = dict(pixi["pypi-dependencies"])
    itself = {pyproject["project"]["name"]: {"path": ".", "editable": True}}
    assert pixi["feature"]["project"] == {"pypi-dependencies": itself}
    torch = ["deep-learning"] if has_torch(answers) else []
    assert set(pixi["feature"]) == {"dev", "project", *torch}
    features = {
        "default": ["dev", *torch, "project"],
        "stack": ["dev", *torch],
        "package": torch,
    }
    assert pixi["environments"] == {
        name: {"features": chosen, "solve-group": "all"} for name, chosen in features.items()
    }
    for name in ("stack", "package"):  # containers make them
        dockerfile = project / "dockerfiles" / "package" / "pixi.Dockerfile"
        assert f"--environment {name}" in dockerfile.read_text(encoding="utf-8")
    pinned = {**pixi["dependencies"], **pixi["feature"]["dev"]["dependencies"], **pypi}
    if torch:
        group = dict(pixi["feature"]["deep-learning"]["pypi-dependencies"])
        pinned |= {**group, "torch": group["torch"]["version"]}
    assert pinned.pop("python") == "3.12.*"
    assert {name: spec.removeprefix("==") for name, spec in pinned.items()} == required(project)
    assert all(spec.startswith("==") for spec in pinned.values())


def test_answers_file(project: Path, answers: Answers) -> None:
    stored = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    questions = """
        project_name project_description author_name author_email package_name show_examples
        example environment_manager object_store kubernetes ci deploy license setup creation_date
    """.split()
    if not answers.get("show_examples", True):
        questions.remove("example")  # not asked
        answers = {key: value for key, value in answers.items() if key != "example"}
    assert set(stored) == {*questions, "_commit", "_src_path"}
    assert {key: stored[key] for key in answers} == answers


def test_readme_says_the_name_and_the_description(project: Path, answers: Answers) -> None:
    from markdown_it import MarkdownIt

    text = (project / "README.md").read_text(encoding="utf-8")
    heading = MarkdownIt().parse(text)[1]
    shown = "".join(child.content for child in heading.children or [])
    assert shown == answers.get("project_name", "Forest Watch")
    assert text.count("```") % 2 == 0


def test_without_the_example_only_change_me_is_left(project: Path, answers: Answers) -> None:
    package = project / load_pyproject(project)["tool"]["gaiaflow"]["package"]
    modules = [path for path in package.rglob("*.py") if path.parent.name != "utils"]
    others = {path.name for path in modules} - {"change_me.py", "__init__.py"}
    assert bool(others) == answers.get("show_examples", True)
    rest = [*project.glob("dags/*.py"), *project.glob("notebooks/*.ipynb")]
    names = " ".join(path.name for path in rest)
    assert ("landcover" in names or "tour" in names) == answers.get("show_examples", True)
    assert (project / "dags" / "segmentation.py").exists() == has_torch(answers)
    if not answers.get("show_examples", True):
        for path in [*modules, *rest, project / "README.md"]:
            assert "landcover" not in path.read_text(encoding="utf-8"), path.name
