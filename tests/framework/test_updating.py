"""What an update reads before it begins."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gaiaflow.project import settings
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import Identity
from gaiaflow.project.stamps import Stamp
from gaiaflow.update import updating
from gaiaflow.update.snapshot import Snapshot
from gaiaflow.update.template import origin, requirement
from gaiaflow.update.updating import Halfway, releases

LONG = "/somewhere/" + "a folder/" * 20 + "gaiaflow"


@pytest.mark.parametrize(
    ("text", "source", "commit"),
    [
        ("_commit: 0.4.0\n_src_path: gh:a/b\n", "https://github.com/a/b.git", "0.4.0"),
        ("_commit: 0.4.0  # pinned\n_src_path: /a # ours\n", "/a", "0.4.0"),
        ("_commit: '0.4.0' # pinned\r\n_src_path: \"/a b\"\r\n", "/a b", "0.4.0"),
        ("_src_path: git+https://a/b\n\n# the release\n_commit: 0.10\n", "https://a/b", "0.10"),
        (f"_commit: 1.0\n_src_path:\n  {LONG}\n", LONG, "1.0"),
        ("_commit: 1.0\n_src_path: git@a:b.git\n", "git@a:b.git", "1.0"),
        ("_commit: 1.0\n_src_path: ~/gaiaflow\n", str(Path.home() / "gaiaflow"), "1.0"),
    ],
)
def test_where_a_project_is_from(tmp_path: Path, text: str, source: str, commit: str) -> None:
    (tmp_path / ".copier-answers.yml").write_bytes(text.encode())
    assert origin(tmp_path) == (source, commit)


@pytest.mark.parametrize("text", [None, "", "[]", "a: {", "_commit: 1.0\n", "_src_path: /a\n"])
def test_a_project_from_nowhere(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / ".copier-answers.yml").write_text(text)
    with pytest.raises(GaiaflowError, match="does not name this project's template"):
        origin(tmp_path)


@pytest.mark.parametrize("source", ["gaiaflow", "../gaiaflow", "./x/gaiaflow.git"])
def test_a_relative_source_is_refused(tmp_path: Path, source: str) -> None:
    (tmp_path / "gaiaflow").mkdir()  # the framework is called so, too
    (tmp_path / ".copier-answers.yml").write_text(f"_commit: 0.4.0\n_src_path: {source}\n")
    with pytest.raises(GaiaflowError, match="to the template's URL or full path") as caught:
        origin(tmp_path)
    assert source in str(caught.value)


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("https://a/b.git", "git+https://a/b.git"),
        ("ssh://git@a:22/b.git", "git+ssh://git@a:22/b.git"),
        ("git@a:b/c.git", "git+ssh://git@a/b/c.git"),
        ("a:/b.git", "git+ssh://a/b.git"),
        ("/", "/"),
    ],
)
def test_pip_and_uv_can_install_the_template(source: str, package: str) -> None:
    assert requirement(source) == package


WHO = ["-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]


def test_a_template_without_releases_is_compared_by_commits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = tmp_path / "template"
    template.mkdir()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(template), *WHO, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    git("commit", "--allow-empty", "-m", "one")
    answers = tmp_path / ".copier-answers.yml"
    answers.write_text(f"_commit: {git('rev-parse', '--short', 'HEAD')}\n_src_path: {template}\n")
    assert not releases(tmp_path).newer
    git("commit", "--allow-empty", "-m", "two")
    found = releases(tmp_path)
    assert found.newer and git("rev-parse", "HEAD").startswith(found.latest)
    assert "has no tagged releases" in capsys.readouterr().err
    git("tag", "v1.0.0rc1")
    described = git("describe", "--tags", "--long")
    answers.write_text(f"_commit: {described}\n_src_path: {template}\n")
    assert not releases(tmp_path).newer
    git("tag", "v1.0.0")
    assert releases(tmp_path).latest == "v1.0.0"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of which an update has begun and has written one file."""
    (tmp_path / "pyproject.toml").write_text(
        "[tool.gaiaflow]\npackage = 'x'\nenvironment_manager = 'uv'\nobject_store = 'seaweedfs'\n"
    )
    (tmp_path / ".gitignore").write_text("/.env\n/.gaiaflow\n/.venv\n")
    (tmp_path / ".copier-answers.yml").write_text("_commit: 0.4.0\n_src_path: /nowhere\n")
    (tmp_path / "module.py").write_text("before\n")
    (tmp_path / ".env").write_text(settings.env_text(Identity("x", "uv", "seaweedfs")))
    for arguments in (["init"], ["add", "--all"], [*WHO, "commit", "-m", "all"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def merged(root: Path, text: str, conflicts: list[str]) -> None:
    snapshot = Snapshot.take(root, ["module.py"])
    (root / "module.py").write_text(text)
    snapshot.record_written(["module.py"])
    snapshot.save(phase="merged", conflicts=conflicts)


def test_exit_code_0_is_done(root: Path) -> None:
    merged(root, "after\n", [])
    assert updating._finish(root) == 0
    assert updating._abort(root) == 0
    assert (root / "module.py").read_text() == "before\n"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        (".env", "A='stays open\n", r"\.env, line 1: the quote"),
        (".env", "nonsense\n", r"\.env, line 1: expected"),
        ("pyproject.toml", "[", "pyproject.toml cannot be read"),
        ("module.py", "mine\n", "uncommitted"),
        (".copier-answers.yml", "", "uncommitted"),
    ],
)
def test_exit_code_1_is_refused_and_nothing_has_changed(
    root: Path, name: str, text: str, why: str
) -> None:
    (root / name).write_text(text)
    with pytest.raises(GaiaflowError, match=why) as caught:
        updating._update(root, None)
    assert caught.value.exit_code == 1
    assert not (root / ".gaiaflow" / "update").exists()


def test_exit_code_1_is_also_for_what_is_not_there(root: Path) -> None:
    for command in (updating._finish, updating._abort):
        with pytest.raises(GaiaflowError, match="There is no update to") as caught:
            command(root)
        assert caught.value.exit_code == 1


def test_exit_code_3_is_for_conflicts(root: Path) -> None:
    merged(root, "<<<<<<< yours\n", ["module.py"])
    assert updating._finish(root) == 3
    (root / "module.py").write_text("resolved\n")
    assert updating._finish(root) == 0


def test_exit_code_4_is_halfway(root: Path) -> None:
    """Merged, and then something failed: it is neither done nor as it was."""
    merged(root, "after\n", [])
    good = (root / ".env").read_text()
    (root / ".env").write_text("S3_BUCKET=x\n")
    with pytest.raises(Halfway, match="--continue") as caught:
        updating._finish(root)
    assert caught.value.exit_code == 4 and "is merged" in str(caught.value)
    assert (root / "module.py").read_text() == "after\n"
    (root / ".env").write_text(good)
    assert updating._finish(root) == 0


def test_an_interruption_after_the_merge_says_how_to_go_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    merged(root, "after\n", [])
    monkeypatch.setattr(updating, "_services_run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        updating._finish(root)
    assert "is merged" in capsys.readouterr().err


def test_exit_code_4_is_also_for_a_way_back_that_is_blocked(root: Path) -> None:
    merged(root, "after\n", [])
    (root / "module.py").unlink()
    (root / "module.py").mkdir()
    (root / "module.py" / "in the way").write_text("\n")
    with pytest.raises(Halfway, match="--abort") as caught:
        updating._abort(root)
    assert caught.value.exit_code == 4
    (root / "module.py" / "in the way").unlink()
    (root / "module.py").rmdir()
    assert updating._abort(root) == 0
    assert (root / "module.py").read_text() == "before\n"


def test_converted_line_ends_make_no_environment_due(tmp_path: Path) -> None:
    source = tmp_path / "lock.txt"
    source.write_bytes(b"a==1\nb==2\n")
    stamp = Stamp(tmp_path / "stamp", source, [source])
    stamp.write()
    source.write_bytes(b"a==1\r\nb==2\r\n")
    assert stamp.is_fresh()
    source.write_bytes(b"a==1\nb==3\n")
    assert not stamp.is_fresh()


def test_settings_behind_a_link_are_brought_back(root: Path) -> None:
    """The link stays, and what it leads to is as before; what came later is kept."""
    place = root / ".gaiaflow" / "secrets"
    place.parent.mkdir()
    (root / ".env").rename(place)
    place.chmod(0o640)
    (root / ".env").symlink_to(place)
    before = place.read_text()
    snapshot = Snapshot.take(root, [".env"])
    place.write_text(before + "NEW=1\n")
    snapshot.record_written([".env"])
    snapshot.save(phase="merged", conflicts=[])
    place.write_text(before + "NEW=2\n")
    assert snapshot.abort() == [".gaiaflow/kept/1/.env"]
    assert (root / ".env").is_symlink()
    assert place.read_text() == before and place.stat().st_mode & 0o777 == 0o640
    assert "NEW=2" in (root / ".gaiaflow" / "kept" / "1" / ".env").read_text()
