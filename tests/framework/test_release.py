"""The checks before a release, and its tag, with a real git and a remote."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from plumbum import local

from gaiaflow.doctor import OK, PROBLEM, WARNING, Finding
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.release import changes, checks, tags
from gaiaflow.release.branches import Branches

from .commands import command, manage
from .releases import Ready


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    """What every test has a copy of."""
    return Ready(tmp_path_factory.mktemp("original"))


@pytest.fixture
def ready(original: Ready, tmp_path: Path) -> Ready:
    return original.copied(tmp_path)


def look(ready: Ready, check: str, version: str = "") -> Finding:
    """What one check finds. Whatever is not green must come with a fix to paste."""
    finding = getattr(checks, check)(checks.examine(ready.project, version))
    assert isinstance(finding, Finding)
    assert finding.check == check
    if finding.level != OK:
        assert finding.fix, finding
        pasted = subprocess.run(["bash", "-n"], input=finding.fix, text=True, check=False)
        assert pasted.returncode == 0, finding.fix
    return finding


def test_a_project_is_released(ready: Ready) -> None:
    commit = ready.git("rev-parse", "HEAD")
    done = manage(ready.root, "release", "--dry-run")
    assert done.returncode == 0, done
    assert "10 ok, 0 to look at, 0 to fix." in done.stdout
    assert ready.tags() == ([], [])
    done = manage(ready.root, "release", "--json")
    assert done.returncode == 0, done
    said = json.loads(done.stdout)
    assert said.items() >= {"version": "1.2.0", "tag": "v1.2.0", "released": True}.items()
    assert said["commit"] == commit
    assert {check["level"] for check in said["checks"]} == {OK}
    assert ready.tags() == (["v1.2.0"], ["v1.2.0"])
    assert ready.git("rev-parse", "v1.2.0^{commit}") == commit
    assert ready.git("cat-file", "-t", "v1.2.0") == "tag"
    text = ready.git("tag", "--list", "--format=%(contents)", "v1.2.0")
    assert text.startswith("1.2.0\n\n- Maps of **lakes**.\n\n### For administrators\n")
    assert "1.1.0" not in text


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        (
            ".github/workflows/release.yml",
            "run: python3 mlops_manager.py publish",
            "release.yml publ",
        ),
        (".gitlab-ci.yml", "script: python3 mlops_manager.py publish", ".gitlab-ci.yml publ"),
        (".gitlab-ci.yml", "script: pytest", "Next: python3 mlops_manager.py publish v1.2.0"),
    ],
)
def test_it_tells_what_follows(ready: Ready, file: str, text: str, told: str) -> None:
    path = ready.root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    ready.write(file, text)
    ready.commit()
    done = manage(ready.root, "release")
    assert done.returncode == 0, done
    assert told in done.stderr


# A change, the check that finds it, and a part of what it says.
FAULTS: dict[str, tuple[Callable[[Ready], object], str, str]] = {
    "a change": (lambda r: r.write("CHANGES.md", "x"), "tree", "are not committed"),
    "a new file": (lambda r: r.write("new.py", ""), "tree", "are not committed"),
    "no remote": (lambda r: r.git("remote", "remove", "origin"), "remote", "no remote origin"),
    "a remote that is gone": (lambda r: r.remote.rename(r.remote.parent / "x"), "remote", "answer"),
    "a commit that is not pushed": (lambda r: r.commit(push=False), "branch", "main lacks"),
    "a remote without a branch": (
        lambda r: local["git"]("-C", str(r.remote), "update-ref", "-d", "refs/heads/main"),
        "branch",
        "no default branch",
    ),
    "another branch": (
        lambda r: (r.git("switch", "--quiet", "--create", "mine"), r.commit()),
        "branch",
        "on mine, not on origin/main",
    ),
    "no version": (lambda r: r.replace("pyproject.toml", "version", "name"), "version", "has no"),
    "no version of PEP 440": (
        lambda r: r.replace("pyproject.toml", "1.2.0", "next"),
        "version",
        "'next' is not a version",
    ),
    "another form": (
        lambda r: r.replace("pyproject.toml", "1.2.0", "1.2.0-beta"),
        "version",
        "not the normal form",
    ),
    "a version of one's own": (
        lambda r: r.replace("pyproject.toml", "1.2.0", "1.2.0+mine"),
        "version",
        "not the normal form",
    ),
    "a smaller version": (lambda r: r.git("tag", "v1.10.0"), "version", "the last release, v1.10"),
    "no section": (lambda r: r.replace("CHANGES.md", "1.2.0", "1.2.0rc1"), "changes", "no section"),
    "no file of changes": (lambda r: (r.root / "CHANGES.md").unlink(), "changes", "no section"),
    "a section in development": (
        lambda r: r.replace("CHANGES.md", "2026-11-27", "in development"),
        "changes",
        "says (in development)",
    ),
    "an empty section": (
        lambda r: r.write("CHANGES.md", "## 1.2.0\n\n## 1.1.0\n- x\n"),
        "changes",
        "is empty",
    ),
    "a tag": (lambda r: r.git("tag", "v1.2.0"), "tag", "a tag v1.2.0 here"),
    "no lock file in git": (lambda r: r.git("rm", "--cached", "uv.lock"), "lock", "not in git"),
    "another lock file": (lambda r: r.write("uv.lock", "x"), "environment", "not up to date"),
    "a test that fails": (
        lambda r: r.write("tests/test_lakes.py", "def test_lakes(): assert False"),
        "tests",
        "1 failed, 1 passed",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(ready: Ready, fault: str) -> None:
    change, check, what = FAULTS[fault]
    assert look(ready, check).level == OK
    change(ready)
    found = look(ready, check)
    assert (found.level, what in found.found) == (PROBLEM, True), found


def test_all_faults_are_shown_and_nothing_is_tagged(ready: Ready) -> None:
    ready.write("pyproject.toml", (ready.root / "pyproject.toml").read_text() + "# x\n")
    ready.write("CHANGES.md", "")
    done = manage(ready.root, "release", "1.3.0", "--json")
    said = json.loads(done.stdout)
    red = [check["check"] for check in said["checks"] if check["level"] == PROBLEM]
    assert (done.returncode, said["released"]) == (1, False)
    assert red == ["tree", "pyproject", "changes", "environment"]
    assert ready.tags() == ([], [])


def test_a_version_that_pyproject_lacks(ready: Ready) -> None:
    before = (ready.root / "pyproject.toml").read_bytes()
    found = look(ready, "pyproject", "1.3.0")
    assert (found.level, found.found) == (PROBLEM, "has version 1.2.0")
    assert 'version = "1.3.0"' in found.fix
    assert (ready.root / "pyproject.toml").read_bytes() == before
    assert look(ready, "pyproject", "1.2.0").level == OK
    assert "Write it as 1.2.0" in look(ready, "version", "v1.2.0").fix


def test_a_failed_test_is_named(ready: Ready) -> None:
    ready.write("tests/test_lakes.py", "def test_lakes(): assert 1 == 2")
    fix = look(ready, "tests").fix
    assert "# FAILED tests/test_lakes.py::test_lakes" in fix
    assert fix.endswith(".venv/bin/python -m pytest")
    for name in ("test_lakes", "test_maps"):
        (ready.root / "tests" / f"{name}.py").unlink()
    assert look(ready, "tests").found.startswith("no tests ran")


def test_what_the_remote_has_counts(ready: Ready, tmp_path: Path) -> None:
    """Another person may have released, or pushed."""
    other = tmp_path / "other"
    local["git"]("clone", "--quiet", str(ready.remote), str(other))
    git = local["git"]["-C", str(other), "-c", "user.name=you", "-c", "user.email=you@localhost"]
    git("tag", "v1.2.0")
    git("tag", "v2.0.0")
    git("commit", "--quiet", "--allow-empty", "--message", "theirs")
    git("push", "--quiet", "origin", "HEAD", "--tags")
    assert "origin has the tag v1.2.0" in look(ready, "tag").found
    assert "the last release, v2.0.0" in look(ready, "version").found
    found = look(ready, "branch")
    assert (found.level, "leaves out 1 newer commits" in found.found) == (WARNING, True)


def test_in_a_folder_of_its_repository(tmp_path: Path) -> None:
    ready = Ready(tmp_path, "Wälder 1")
    (ready.clone / "other.txt").write_text("another project's\n", encoding="utf-8")
    levels = {found.check: found.level for found in checks.run(checks.examine(ready.project))}
    assert set(levels.values()) == {OK} and len(levels) == len(checks.CHECKS)


def test_in_a_shallow_clone(ready: Ready, tmp_path: Path) -> None:
    """It knows no tags, and neither does what CI checks out know its branch."""
    ready.git("tag", "v1.3.0")
    ready.commit()
    ready.git("push", "--quiet", "origin", "v1.3.0")
    ready.clone.rename(tmp_path / "first")
    local["git"]("clone", "--quiet", "--depth=1", f"file://{ready.remote}", str(ready.clone))
    ready.git("switch", "--quiet", "--detach")
    ready.git("config", "user.name", "me")
    ready.git("config", "user.email", "me@localhost")
    assert "not larger than the last release, v1.3.0" in look(ready, "version").found
    assert look(ready, "branch").level == OK
    ready.commit(push=False)
    assert look(ready, "branch").level == PROBLEM


def test_outside_of_a_repository(ready: Ready) -> None:
    (ready.clone / ".git").rename(ready.clone.parent / "x")
    done = manage(ready.root, "release")
    assert (done.returncode, "not in a git repository" in done.stderr) == (1, True)


def test_a_refused_tag_does_not_stay(ready: Ready) -> None:
    ready.refuse("protected")
    with pytest.raises(GaiaflowError, match="protected"):
        tags.create(ready.asked, "v1.2.0", "HEAD", "text")
    assert ready.tags() == ([], [])


def test_a_password_in_the_remotes_address_is_not_shown(ready: Ready) -> None:
    ready.git("remote", "set-url", "origin", "https://me:canary@127.0.0.1:9/forest.git")
    for call in (ready.asked.ask_remote, lambda: tags.create(ready.asked, "v1", "HEAD", "text")):
        with pytest.raises(GaiaflowError, match=r"127\.0\.0\.1:9") as raised:
            call()
        assert "canary" not in str(raised.value)


def test_a_tag_that_was_made_meanwhile_stays(ready: Ready) -> None:
    ready.git("tag", "v1.2.0")
    with pytest.raises(GaiaflowError, match=r"a tag v1\.2\.0 already"):
        tags.create(ready.asked, "v1.2.0", "HEAD", "text")
    assert ready.tags() == (["v1.2.0"], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_push_leaves_no_tag(ready: Ready, number: int) -> None:
    began, go_on = ready.remote / "began", ready.remote / "go-on"
    hook = ready.remote / "hooks" / "pre-receive"
    wait = f"touch '{began}'; while [ ! -e '{go_on}' ]; do sleep 0.05; done; exit 1"
    hook.write_text(f"#!/bin/sh\n{wait}\n", encoding="utf-8")
    hook.chmod(0o755)
    line, environ = command(ready.root, "release")
    process = subprocess.Popen(line, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not began.exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        assert ready.tags() == (["v1.2.0"], [])
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    finally:
        go_on.touch()
        process.kill()
    assert process.returncode == 130
    assert b"The tag v1.2.0 was removed here" in said
    assert ready.tags() == ([], [])


@pytest.mark.parametrize(
    ("heading", "rest"),
    [
        ("## 1.2.0", ""),
        ("## 1.2.0 (2026-11-27)", " (2026-11-27)"),
        ("## [1.2.0] - 2026-11-27", "] - 2026-11-27"),
        ("## v1.2.0: lakes", ": lakes"),
        ("## [1.2.0](https://example.org)", "](https://example.org)"),
    ],
)
def test_a_section_is_found(heading: str, rest: str) -> None:
    text = f"# Changes\n\n## 1.2.0.1\n\nx\n\n{heading}\n\n- y\n# z\n\n## 1.1.0\n"
    assert changes.section(text, "1.2.0") == changes.Section(rest, "- y\n# z")
    assert changes.section(text, "1.2") is None
    assert changes.section(text, "1.3.0") is None


def test_the_last_release_is_that_of_the_largest_version() -> None:
    assert tags.newest(["v1.9.0", "v1.10.0", "v1.10.0rc1", "20260101", "vX", "models"]) == "v1.10.0"
    assert tags.newest(["20260101"]) is None


def test_the_commands_deploy(ready: Ready) -> None:
    """What the documentation shows, but for `publish`, which needs an engine."""
    image = "ghcr.io/team/forest@sha256:" + "1" * 64
    tags.create(ready.asked, "v1.2.0", "HEAD", "1.2.0")
    done = manage(ready.root, "deploy", "staging", "v1.2.0", "--image", image, "--json")
    assert done.returncode == 0, done
    staged = json.loads(done.stdout)
    assert (staged["branch"], staged["before"]) == ("deploy/staging", None)
    assert (staged["after"]["tag"], staged["after"]["image"]) == ("v1.2.0", image)
    first = staged["after"]["commit"]
    branches = Branches(ready.asked)
    branches.move_prod()
    branches.stage("v1.2.0", other := image.replace("1" * 64, "2" * 64))
    done = manage(ready.root, "deploy", "prod")
    assert done.stdout.startswith("deploy/prod has v1.2.0 ("), done
    assert f"\n    {other}\ninstead of v1.2.0 ({first[:12]})\n    {image}\n" in done.stdout
    assert f"deploy prod {first[:12]}" in done.stderr
    assert manage(ready.root, "deploy", "prod", first[:12]).returncode == 0
    assert ready.asked.tip("deploy/prod") == first
    assert "has v1.2.0" in manage(ready.root, "deploy", "prod", first).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["deploy", "production"], "Deploy to staging or prod"),
        (["deploy", "staging"], "Name the release and its image"),
        (["deploy", "staging", "v1.2.0"], "Name the release and its image"),
        (["deploy", "prod", "--image", "x"], "takes no --image"),
    ],
)
def test_wrong_use(bare_project: Path, arguments: list[str], says: str) -> None:
    done = manage(bare_project, *arguments)
    assert (done.returncode, says in done.stderr) == (2, True), done
    assert not (bare_project / ".env").exists()
