"""The original cookiecutter: what it generated, and what of that has no place any more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from jinja2 import Environment, StrictUndefined, TemplateError
from plumbum import local

from tasks.merging import same_lines
from tasks.rendering import AS_STORED

URL = "https://github.com/bcdev/gaiaflow-cookiecutter"
FOLDER = "{{ cookiecutter.folder_name }}/"

# The framework of the original, all tags. Ours does its work, or it does not load in Airflow 3.
REPLACED = [
    "/mlops-run.sh",
    "/MLOps.md",
    "/docker-compose.yml",
    "/docker-compose-minikube-network.yml",
    "/Dockerfile",
    "/dockerfiles",
    "/docker_config.py",
    "/docker_image_name_generator.py",
    "/utils.py",
    "/mlops_manager.py",
    "/minikube_manager.py",
    "/kube_config_inline",
    "/airflow_test.cfg",
    "/dags/task_factory.py",
    "/tests/dags/test_dag_integrity.py",
    "/tests/test_mlops_manager.py",
    "/tests/test_minikube_manager.py",
    "/.github/workflows/deploy_dags_to_prod.yml",
    "/.github/workflows/publish.yml",
    "/.github/workflows/unittest.yml",
]

# Of no use any more either, but stay where people made them theirs.
REPLACED_IF_UNCHANGED = ["/dags/README.md", "/notebooks/README.md", "/tests/conftest.py"]


@dataclass(frozen=True)
class Original:
    """A project as a tag of the original generated it: path -> content."""

    tag: str
    files: dict[str, bytes]


def looks_original(project: Path) -> bool:
    """Whether a repository was made by the original."""
    if not (project / "dags").is_dir():
        return False
    signs = ["mlops-run.sh", "mlops_manager.py", "airflow_test.cfg", "dags/task_factory.py"]
    return any((project / sign).exists() for sign in signs)


def has_examples(package: Path) -> bool:
    """Whether the examples were wanted; of some tags a few of them are there in any case."""
    return any(package.glob("train/example_train*.py"))


def folder_name(project: Path) -> str:
    """The folder's name when it was generated: the environment is called so, clones may not be."""
    file = project / "environment.yml"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    found = re.search(r"(?m)^name: *([\w-]+)$", text)
    return found[1] if found else project.name


def find(clone: Path, project: Path, answers: Mapping[str, Any]) -> Original | None:
    """The tag that a project comes from: the one most of whose files it has unchanged."""
    best: tuple[int, Original] | None = None
    for tag in local["git"]["-C", str(clone)]("tag", "--list", "v*").split():
        rendered = Original(tag, render(clone, tag, answers))
        score = sum(
            (project / path).is_file() and same_lines((project / path).read_bytes(), data)
            for path, data in rendered.files.items()
        )
        if best is None or score >= best[0]:
            best = (score, rendered)
    return best[1] if best and best[0] else None


def render(clone: Path, tag: str, answers: Mapping[str, Any]) -> dict[str, bytes]:
    """Render a tag as cookiecutter would, without its hooks, which only remove files."""
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    context = {"cookiecutter": SimpleNamespace(**answers)}
    files: dict[str, bytes] = {}
    with TemporaryDirectory() as folder:
        archive = local["git"][AS_STORED]["-C", str(clone), "archive", tag]
        (archive | local["tar"]["-x", "-C", folder])()
        for path in sorted(Path(folder).rglob("*")):
            name = path.relative_to(folder).as_posix()
            if not name.startswith(FOLDER) or not path.is_file():
                continue
            target = environment.from_string(name[len(FOLDER) :]).render(context)
            data = path.read_bytes()
            try:
                files[target] = environment.from_string(data.decode()).render(context).encode()
            except (UnicodeDecodeError, TemplateError):
                files[target] = data
    return files
