"""Push the project's images to a registry, and name them by their digests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import docker
from docker.auth import resolve_repository_name
from docker.errors import APIError, ImageNotFound

from gaiaflow.backends import engine
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_toml
from gaiaflow.release.git import Git

# Hosts that have a registry for each repository. GitLab's takes only names below the repository's.
_REGISTRIES = {"github.com": "ghcr.io/{}", "gitlab.com": "registry.gitlab.com/{}/image"}
_REMOTE = re.compile(
    r"(?:https://|ssh://)?(?:[^@/]+@)?(?P<host>[\w.-]+)(?::\d+)?[:/]"
    r"(?P<path>[\w.-]+(?:/[\w.-]+)+)/?"
)
_REPOSITORY = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+")
_SETTING = """\
Name it in pyproject.toml:

    [tool.gaiaflow.release]
    image = "registry.example.com/team/project\""""
_NOT_LOGGED_IN = ("denied", "unauthorized", "authentication", "basic auth", "forbidden")


def repository(root: Path, git: Git) -> str:
    """Where the project's image goes, such as "ghcr.io/team/forest-watch".

    That is `tool.gaiaflow.release.image` in pyproject.toml, or else the registry of GitHub.com or
    GitLab.com if the project's remote is there.

    Raises:
        GaiaflowError: neither is known, or the setting is not the name of a repository.
    """
    known: Any = read_toml(root / "pyproject.toml")
    for name in ("tool", "gaiaflow", "release", "image"):
        known = known.get(name, {}) if isinstance(known, dict) else {}
    if known:
        if not isinstance(known, str) or not _REPOSITORY.fullmatch(known):
            raise GaiaflowError(
                f"tool.gaiaflow.release.image is {known!r}, which names no repository.\n{_SETTING}"
            )
        return known
    try:
        remote = _REMOTE.fullmatch(git.run("remote", "get-url", git.remote))
    except GaiaflowError:
        remote = None
    if remote and (registry := _REGISTRIES.get(remote["host"])):
        return registry.format(remote["path"].removesuffix(".git")).lower()
    raise GaiaflowError(f"It is not known to which registry the images go.\n{_SETTING}")


def push(client: docker.DockerClient, image: str, repository: str, tag: str) -> str:
    """Push an image.

    Args:
        client: the engine that has it.
        image: its name there.
        repository: its name in the registry, without a tag.
        tag: for people; programs use the digest.

    Returns:
        The repository with the image's digest: "ghcr.io/team/forest@sha256:...".

    Raises:
        GaiaflowError: the image is not there, the registry refuses it, or the engine fails.
    """
    digest = ""
    with engine.answering():
        try:
            client.images.get(image).tag(repository, tag)
            for line in client.images.push(repository, tag, stream=True, decode=True):
                if "error" in line:
                    raise GaiaflowError(_refused(repository, str(line["error"])))
                digest = line.get("aux", {}).get("Digest", digest)
        except ImageNotFound:
            raise GaiaflowError(
                f"There is no image {image}.\nBuild it: python3 mlops_manager.py build"
            ) from None
        except APIError as error:
            raise GaiaflowError(_refused(repository, str(error.explanation or error))) from None
    if not digest:
        raise GaiaflowError(f"Docker does not say which digest {repository}:{tag} has.")
    return f"{repository}@{digest}"


def _refused(repository: str, why: str) -> str:
    registry, _ = resolve_repository_name(repository)
    said = f"{registry} did not take the image: {why}"
    if any(sign in why.lower() for sign in _NOT_LOGGED_IN):
        name = "" if registry == "docker.io" else f" {registry}"
        return f"{said}\nLog in, with the right to write there: docker login{name}"
    return f"{said}\nTry again: what the registry has already is not sent twice."
