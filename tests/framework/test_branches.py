"""Deployment branches, with a real git and a remote."""

from __future__ import annotations

from pathlib import Path

import pytest
from plumbum import local

from gaiaflow.project import released
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.release.branches import PROD, STAGING, Branches
from gaiaflow.release.git import Git

IMAGES = [f"ghcr.io/team/forest@sha256:{digit * 64}" for digit in "12"]


class Clone:
    """A clone with commits and tags, and its remote; the project may be in a folder of it."""

    def __init__(self, folder: Path, project: str = "") -> None:
        self.root, self.remote = folder / "Wälder und Seen", folder / "remote.git"
        local["git"]("init", "--quiet", "--bare", "--initial-branch=main", str(self.remote))
        local["git"]("clone", "--quiet", str(self.remote), str(self.root))
        (self.root / project).mkdir(exist_ok=True)
        self.git = local["git"]["-C", str(self.root)]
        self.project = self.root / project
        self.asked = Git(self.project)

    @property
    def branches(self) -> Branches:
        return Branches(self.asked)

    def release(self, version: str) -> str:
        """Commit, tag and push."""
        (self.project / "code.py").write_text(f"VERSION = {version!r}\n", encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", version)
        self.git("tag", version)
        self.git("push", "--quiet", "origin", "HEAD", "--tags")
        return self.commit(version)

    def stage(self, tag: str, image: str) -> str:
        return self.branches.stage(tag, image).after.commit

    def move_prod(self, to: str | None = None) -> str:
        return self.branches.move_prod(to).after.commit

    def tip(self, branch: str) -> str | None:
        return self.asked.tip(branch)

    def commit(self, name: str) -> str:
        return str(self.git("rev-parse", name)).strip()

    def show(self, commit: str, path: str) -> str:
        return str(self.git("show", f"{commit}:{path}"))


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who commits."""
    for kind in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{kind}_NAME", "me")
        monkeypatch.setenv(f"GIT_{kind}_EMAIL", "me@localhost")


@pytest.fixture
def clone(tmp_path: Path, identity: None) -> Clone:
    return Clone(tmp_path)


def test_a_deployed_commit_is_a_tag_with_its_image(clone: Clone, tmp_path: Path) -> None:
    tagged = clone.release("v1")
    deployed = clone.stage("v1", IMAGES[0])
    assert clone.tip(STAGING) == deployed
    assert clone.show(deployed, "code.py") == clone.show(tagged, "code.py")
    assert clone.show(deployed, "deploy/release/image") == f"{IMAGES[0]}\n"
    assert clone.git("status", "--porcelain") == "" and clone.commit("HEAD") == tagged
    assert clone.tip(PROD) is None
    local["git"](
        "clone", "--quiet", "--branch", STAGING, str(clone.remote), str(tmp_path / "there")
    )
    assert released.image(tmp_path / "there") == IMAGES[0]
    assert released.image(clone.root) is None


def test_all_that_was_deployed_stays_reachable(clone: Clone) -> None:
    first, second = (
        (clone.release(version), clone.stage(version, image))[1]
        for version, image in zip(["v1", "v2"], IMAGES, strict=True)
    )
    assert clone.tip(STAGING) == second
    clone.git("merge-base", "--is-ancestor", first, second)
    clone.git("merge-base", "--is-ancestor", "v2", second)
    # An older release comes back as a commit of its own.
    third = clone.stage("v1", IMAGES[0])
    assert third not in {first, second}
    assert clone.show(third, "code.py") == clone.show("v1", "code.py")


def test_the_same_release_twice_is_one_commit(clone: Clone) -> None:
    clone.release("v1")
    assert clone.stage("v1", IMAGES[0]) == clone.stage("v1", IMAGES[0])


def test_production_moves_forward_and_back(clone: Clone) -> None:
    clone.release("v1")
    first = clone.stage("v1", IMAGES[0])
    assert clone.move_prod() == first == clone.tip(PROD)
    clone.release("v2")
    second = clone.stage("v2", IMAGES[1])
    assert clone.tip(PROD) == first  # until someone approves it
    assert clone.move_prod() == second == clone.tip(PROD)
    assert clone.move_prod(first) == first == clone.tip(PROD)
    assert clone.tip(STAGING) == second


def test_only_what_was_in_staging_gets_to_production(clone: Clone) -> None:
    with pytest.raises(GaiaflowError, match="nothing has been deployed to staging"):
        clone.move_prod()
    clone.release("v1")
    first = clone.stage("v1", IMAGES[0])
    clone.release("v2")
    with pytest.raises(GaiaflowError, match="is not a release that was in staging") as raised:
        clone.move_prod("v2")
    assert f"v1  {first[:12]}" in str(raised.value)
    with pytest.raises(GaiaflowError, match="v9 is not a release that was in staging"):
        clone.move_prod("v9")
    assert clone.tip(PROD) is None


def test_a_release_is_named_by_its_tag_or_a_commit(clone: Clone, tmp_path: Path) -> None:
    tagged = clone.release("v1")
    first = clone.stage("v1", IMAGES[0])
    clone.release("v2")
    second = clone.stage("v2", IMAGES[1])
    for name in ("v1", first, first[:9], tagged):
        assert clone.move_prod() == second
        assert clone.move_prod(name) == first, name
    # The last deployment of a tag counts: here, with an image that was built again.
    again = clone.stage("v1", IMAGES[1])
    assert clone.move_prod("v1") == again
    # Also where there is nothing but the last commit, as in CI.
    options = ("--quiet", "--depth=1", "--no-tags", f"file://{clone.remote}")
    local["git"]("clone", *options, str(tmp_path / "shallow"))
    there = Branches(Git(tmp_path / "shallow"))
    assert there.move_prod("v2").after.commit == second
    assert there.stage("v2", IMAGES[0]).after.tag_commit == clone.commit("v2")
    options = ("--quiet", "--depth=1", f"--branch={STAGING}", f"file://{clone.remote}")
    local["git"]("clone", *options, str(tmp_path / "cut"))
    with pytest.raises(GaiaflowError, match="fetch --unshallow"):
        Branches(Git(tmp_path / "cut")).move_prod("v1")


def test_what_has_moved_is_told(clone: Clone) -> None:
    clone.release("v1")
    move = clone.branches.stage("v1", IMAGES[0])
    assert (move.branch, move.before) == (STAGING, None)
    assert (move.after.tag, move.after.image) == ("v1", IMAGES[0])
    assert move.after.tag_commit == clone.commit("v1")
    clone.move_prod()
    clone.release("v2")
    second = clone.branches.stage("v2", IMAGES[1])
    assert second.before == move.after
    moved = clone.branches.move_prod()
    assert (moved.branch, moved.before, moved.after) == (PROD, move.after, second.after)
    assert clone.branches.move_prod().before == second.after


def test_a_commit_by_hand_is_no_deployment(clone: Clone) -> None:
    clone.release("v1")
    first = clone.stage("v1", IMAGES[0])
    clone.release("v2")
    clone.stage("v2", IMAGES[1])
    clone.git("switch", "--quiet", "--detach", "origin/deploy/staging")
    clone.git("revert", "--no-edit", "-m", "1", "HEAD")
    clone.git("push", "--quiet", "origin", "HEAD:deploy/staging")
    assert clone.show(clone.commit("HEAD"), "code.py") == clone.show(first, "code.py")
    with pytest.raises(GaiaflowError, match="is not a release that was in staging"):
        clone.move_prod()
    assert clone.move_prod("v1") == first
    third = clone.branches.stage("v2", IMAGES[1])  # its history goes on
    assert third.before and third.before.image == ""
    assert clone.move_prod() == third.after.commit


def test_a_project_in_a_folder_of_its_repository(tmp_path: Path, identity: None) -> None:
    clone = Clone(tmp_path, "Wälder 1")
    clone.release("v1")
    deployed = clone.stage("v1", IMAGES[0])
    assert clone.show(deployed, "Wälder 1/deploy/release/image") == f"{IMAGES[0]}\n"
    assert clone.move_prod("v1") == deployed
    options = ("--quiet", "--branch", PROD, str(clone.remote), str(tmp_path / "there"))
    local["git"]("clone", *options)
    assert released.image(tmp_path / "there" / "Wälder 1") == IMAGES[0]
    # The branches have room for one project.
    (clone.root / "other").mkdir()
    other = Branches(Git(clone.root / "other"))
    with pytest.raises(GaiaflowError, match="another project of this repository: Wälder 1/deploy"):
        other.stage("v1", IMAGES[1])
    assert clone.tip(STAGING) == deployed


@pytest.mark.parametrize(
    "image", ["forest:v1", "forest", f"{IMAGES[0]}0", "a b@sha256:" + "1" * 64]
)
def test_an_image_is_named_by_its_digest(clone: Clone, image: str) -> None:
    clone.release("v1")
    with pytest.raises(GaiaflowError, match="by its digest"):
        clone.stage("v1", image)


def test_a_refusal_is_shown(clone: Clone) -> None:
    clone.release("v1")
    clone.stage("v1", IMAGES[0])
    hook = clone.remote / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    with pytest.raises(GaiaflowError, match="protected"):
        clone.move_prod()
    assert clone.tip(PROD) is None


def test_a_remote_that_does_not_answer(clone: Clone) -> None:
    clone.release("v1")
    clone.git("remote", "set-url", "origin", "/nowhere")
    with pytest.raises(GaiaflowError, match="git ls-remote failed"):
        clone.stage("v1", IMAGES[0])
