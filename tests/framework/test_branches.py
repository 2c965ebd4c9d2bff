"""Deployment branches, with a real git and a remote."""

from __future__ import annotations

from pathlib import Path

import pytest
from plumbum import local

from gaiaflow.project import released
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.release.branches import PROD, STAGING, Branches

IMAGES = [f"ghcr.io/team/forest@sha256:{digit * 64}" for digit in "12"]


class Clone:
    """A clone with commits and tags, and its remote."""

    def __init__(self, folder: Path) -> None:
        self.root, self.remote = folder / "clone", folder / "remote.git"
        local["git"]("init", "--quiet", "--bare", "--initial-branch=main", str(self.remote))
        local["git"]("clone", "--quiet", str(self.remote), str(self.root))
        self.git = local["git"]["-C", str(self.root)]
        self.branches = Branches(self.root)

    def release(self, version: str) -> str:
        """Commit, tag and push."""
        (self.root / "code.py").write_text(f"VERSION = {version!r}\n", encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", version)
        self.git("tag", version)
        self.git("push", "--quiet", "origin", "HEAD", "--tags")
        return self.commit(version)

    def commit(self, name: str) -> str:
        return str(self.git("rev-parse", name)).strip()

    def show(self, commit: str, path: str) -> str:
        return str(self.git("show", f"{commit}:{path}"))


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    for kind in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{kind}_NAME", "me")
        monkeypatch.setenv(f"GIT_{kind}_EMAIL", "me@localhost")
    return Clone(tmp_path)


def test_a_deployed_commit_is_a_tag_with_its_image(clone: Clone, tmp_path: Path) -> None:
    tagged = clone.release("v1")
    deployed = clone.branches.stage("v1", IMAGES[0])
    assert clone.branches.tip(STAGING) == deployed
    assert clone.show(deployed, "code.py") == clone.show(tagged, "code.py")
    assert clone.show(deployed, "deploy/release/image") == f"{IMAGES[0]}\n"
    assert clone.git("status", "--porcelain") == "" and clone.commit("HEAD") == tagged
    assert clone.branches.tip(PROD) is None
    local["git"](
        "clone", "--quiet", "--branch", STAGING, str(clone.remote), str(tmp_path / "there")
    )
    assert released.image(tmp_path / "there") == IMAGES[0]
    assert released.image(clone.root) is None


def test_all_that_was_deployed_stays_reachable(clone: Clone) -> None:
    first, second = (
        (clone.release(version), clone.branches.stage(version, image))[1]
        for version, image in zip(["v1", "v2"], IMAGES, strict=True)
    )
    assert clone.branches.tip(STAGING) == second
    clone.git("merge-base", "--is-ancestor", first, second)
    clone.git("merge-base", "--is-ancestor", "v2", second)
    # An older release comes back as a commit of its own.
    third = clone.branches.stage("v1", IMAGES[0])
    assert third not in {first, second}
    assert clone.show(third, "code.py") == clone.show("v1", "code.py")


def test_the_same_release_twice_is_one_commit(clone: Clone) -> None:
    clone.release("v1")
    assert clone.branches.stage("v1", IMAGES[0]) == clone.branches.stage("v1", IMAGES[0])


def test_production_moves_forward_and_back(clone: Clone) -> None:
    clone.release("v1")
    first = clone.branches.stage("v1", IMAGES[0])
    assert clone.branches.move_prod() == first == clone.branches.tip(PROD)
    clone.release("v2")
    second = clone.branches.stage("v2", IMAGES[1])
    assert clone.branches.tip(PROD) == first  # until someone approves it
    assert clone.branches.move_prod() == second == clone.branches.tip(PROD)
    assert clone.branches.move_prod(first) == first == clone.branches.tip(PROD)
    assert clone.branches.tip(STAGING) == second


def test_only_what_was_in_staging_gets_to_production(clone: Clone) -> None:
    with pytest.raises(GaiaflowError, match="nothing has been released yet"):
        clone.branches.move_prod()
    clone.release("v1")
    clone.branches.stage("v1", IMAGES[0])
    for other in (clone.release("v2"), "v1"):
        with pytest.raises(GaiaflowError, match="was never deployed to staging"):
            clone.branches.move_prod(other)
    with pytest.raises(GaiaflowError, match="no commit or tag 'v9'"):
        clone.branches.move_prod("v9")
    assert clone.branches.tip(PROD) is None


@pytest.mark.parametrize(
    "image", ["forest:v1", "forest", f"{IMAGES[0]}0", "a b@sha256:" + "1" * 64]
)
def test_an_image_is_named_by_its_digest(clone: Clone, image: str) -> None:
    clone.release("v1")
    with pytest.raises(GaiaflowError, match="by its digest"):
        clone.branches.stage("v1", image)


def test_a_refusal_is_shown(clone: Clone) -> None:
    clone.release("v1")
    clone.branches.stage("v1", IMAGES[0])
    hook = clone.remote / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    with pytest.raises(GaiaflowError, match="protected"):
        clone.branches.move_prod()
    assert clone.branches.tip(PROD) is None


def test_a_remote_that_does_not_answer(clone: Clone) -> None:
    clone.release("v1")
    clone.git("remote", "set-url", "origin", "/nowhere")
    with pytest.raises(GaiaflowError, match="git ls-remote failed"):
        clone.branches.stage("v1", IMAGES[0])
