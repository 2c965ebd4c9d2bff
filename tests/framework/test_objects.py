"""Files into the object store and out of it, with the real server."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from gaiaflow import backends, console
from gaiaflow.cli import common, mlops
from gaiaflow.cli import objects as objects_cli
from gaiaflow.cli.objects import Transfer, size
from gaiaflow.objects import _complete, connect
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.paths import StateFolder
from gaiaflow.project.project import prepare
from gaiaflow.project.settings import PORTS
from gaiaflow.services import select

from .conftest import IDENTITY, TEMPLATE

MAP = "landcover/20260101-120000-aaaaaa/landcover.tif"
OTHER = "landcover/20260102-120000-bbbbbb/landcover.tif"
CONTENT = os.urandom(100_000)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project of which the object store runs alone."""
    root = tmp_path_factory.mktemp("objects") / "Größere Wälder"
    compiled = shutil.ignore_patterns("__pycache__")  # which others write now
    shutil.copytree(TEMPLATE / "gaiaflow", root / "gaiaflow", ignore=compiled)
    shutil.copy(TEMPLATE / "mlops_manager.py", root)
    (root / "pyproject.toml").write_text(IDENTITY, encoding="utf-8")
    python = StateFolder(root).airflow_python
    python.parent.mkdir(parents=True)
    python.with_name("weed").symlink_to(Path(sys.executable).with_name("weed"))
    # Not the default ports, which tests of doctor take for a moment.
    first = 11000 + os.getpid() % 400 * 20
    ports = {name: str(first + index) for index, name in enumerate(PORTS)}
    ports["SERVICES_PORT"] = str(first + 10)  # after those of the object store
    project = prepare(root).with_env(ports)
    backend = backends.make("local", project, lambda *_: None)
    try:
        assert backend.start(select(["object-store"], backend.services)) == {}
        client = connect(prepare(root))
        for key in (MAP, OTHER):
            client.put_object(Bucket="gaiaflow", Key=key, Body=CONTENT)
        client.put_object(Bucket="gaiaflow", Key="landcover/empty/", Body=b"")
        yield root
    finally:
        backend.stop(backend.services)


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Manage = Callable[..., Done]


@pytest.fixture
def manage(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Manage:
    """The manager in this process: a new one for each call would take a minute for all."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*arguments: str, root: Path = project) -> Done:
        monkeypatch.setattr(common, "find_root", lambda: root)
        monkeypatch.setattr(sys, "argv", ["mlops_manager.py", *arguments])
        with pytest.raises(SystemExit) as ended:
            mlops.main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, said.out, said.err)

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which somebody is."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_list(manage: Manage) -> None:
    done = manage("ls")
    assert done.returncode == 0, done
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [[*line[:2], line[-1]] for line in lines if line[-1] in {MAP, OTHER}] == [
        ["100.0", "kB", MAP],
        ["100.0", "kB", OTHER],
    ]


@pytest.mark.parametrize("prefix", ["landcover/20260102", f"s3://gaiaflow/{OTHER}", f"/{OTHER}"])
def test_a_list_for_a_script(manage: Manage, prefix: str) -> None:
    [entry] = json.loads(manage("ls", prefix, "--json").stdout)
    assert set(entry) == {"key", "size", "modified"}
    assert (entry["key"], entry["size"]) == (OTHER, 100_000)
    assert entry["modified"].endswith("+00:00")
    assert json.loads(manage("ls", "nothing", "--json").stdout) == []


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        ([MAP], "landcover.tif"),
        ([f"s3://gaiaflow/{MAP}"], "landcover.tif"),
        ([MAP, "map.tif"], "map.tif"),
        ([MAP, "new/map.tif"], "new/map.tif"),
        ([MAP, "new/"], "new/landcover.tif"),
        ([MAP, "."], "landcover.tif"),
        (["landcover/20260101-120000-aaaaaa"], "20260101-120000-aaaaaa/landcover.tif"),
        (["landcover/20260101-120000-aaaaaa/", "here"], "here/landcover.tif"),
        (["landcover/", "all"], "all/20260101-120000-aaaaaa/landcover.tif"),
    ],
)
def test_get(manage: Manage, here: Path, arguments: list[str], file: str) -> None:
    done = manage("get", *arguments)
    assert done.returncode == 0, done
    assert file in done.stdout.splitlines()
    assert (here / file).read_bytes() == CONTENT
    assert (here / file).stat().st_mode & 0o444 == 0o444
    assert not list(here.rglob("*.part"))


def test_get_overwrites_nothing_unless_it_is_told_to(
    project: Path, manage: Manage, here: Path
) -> None:
    mine = here / "landcover.tif"
    mine.write_text("mine")
    for arguments in ([MAP], [MAP, "landcover.tif"], ["landcover/20260101-120000-aaaaaa", "."]):
        done = manage("get", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert "landcover.tif exists.\nTo overwrite it, add --force" in done.stderr
        assert mine.read_text() == "mine"
    assert manage("get", MAP, "--force").returncode == 0
    assert mine.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("landcover.tif", f"Did you mean {OTHER} or {MAP}?"),
        (MAP.replace("20260101", "20260110"), f"Did you mean {OTHER} or {MAP}?"),
        ("landcovr/", "Did you mean landcover/"),
        ("xyz", "There is no object 'xyz' in s3://gaiaflow.\nList all objects: "),
        ("s3://elsewhere/a", "is not in this project's bucket, s3://gaiaflow"),
        ("landcover/empty/", "There is no object"),
    ],
)
def test_a_key_that_is_not_there(manage: Manage, here: Path, key: str, says: str) -> None:
    done = manage("get", key)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(here.iterdir())


def test_put(project: Path, manage: Manage, here: Path) -> None:
    file = here / "größe [1].png"
    file.write_bytes(b"one")
    for key, stored in (("in/a.png", "in/a.png"), ("in/", f"in/{file.name}")):
        done = manage("put", str(file), key)
        assert (done.returncode, done.stdout) == (0, f"s3://gaiaflow/{stored}\n")
        head = connect(prepare(project)).head_object(Bucket="gaiaflow", Key=stored)
        assert (head["ContentLength"], head["ContentType"]) == (3, "image/png")
    file.write_bytes(b"second")
    done = manage("put", str(file), "in/a.png")
    assert (done.returncode, "To overwrite it, add --force" in done.stderr) == (1, True)
    assert manage("put", str(file), "in/a.png", "--force").returncode == 0
    assert manage("get", "in/a.png", str(here / "back")).returncode == 0
    assert (here / "back").read_bytes() == b"second"


def test_what_can_not_be_put(project: Path, manage: Manage, here: Path) -> None:
    done = manage("put", str(here / "none"), "a")
    assert (done.returncode, "does not exist" in done.stderr) == (1, True)
    done = manage("put", str(here), "a")
    assert (done.returncode, "is a folder" in done.stderr) == (1, True)


@pytest.mark.parametrize("command", [["ls"], ["get", "a"], ["put", "/etc/hostname", "a"]])
def test_without_a_store(bare_project: Path, manage: Manage, command: list[str]) -> None:
    prepare(bare_project).with_env({"OBJECT_STORE_PORT": "1025"})
    done = manage(*command, root=bare_project)
    assert done.returncode == 1
    assert "The object store does not answer at http://127.0.0.1:1025" in done.stderr
    assert "Start it: python3 mlops_manager.py start --service object-store" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_other_keys(project: Path, manage: Manage) -> None:
    right = prepare(project)
    right.with_env({"AWS_SECRET_ACCESS_KEY": "f" * 64})
    try:
        done = manage("ls")
    finally:
        right.with_env({"AWS_SECRET_ACCESS_KEY": right.env["AWS_SECRET_ACCESS_KEY"]})
    assert done.returncode == 1
    assert "The object store rejects the keys in .env" in done.stderr


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_was_cut_off_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    file = tmp_path / "map.tif"
    file.write_text("mine")
    with pytest.raises(error), _complete(file) as output:
        output.write(b"half")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "..", "", "a\0b"])
def test_a_key_leads_nowhere_else(name: str) -> None:
    with pytest.raises(GaiaflowError, match="can't be the name of a file here"):
        objects_cli._inside(name)


@pytest.mark.parametrize("patience", [0, 60])
def test_progress_of_what_takes_long(monkeypatch: pytest.MonkeyPatch, patience: int) -> None:
    written = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=written, width=100))
    monkeypatch.setattr(objects_cli, "_PATIENCE", patience)
    with console.Progress() as progress, Transfer(progress, "map.tif", 2_000_000) as transfer:
        transfer.moved(500_000)
        transfer.moved(1_500_000)
    lines = written.getvalue().splitlines()
    assert lines == [
        "map.tif: running 500.0 kB of 2.0 MB",
        "map.tif: done 0.0 s 2.0 MB",
    ] * (patience == 0)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5e15, "5000.0 TB")],
)
def test_sizes(count: float, shown: str) -> None:
    assert size(count) == shown
