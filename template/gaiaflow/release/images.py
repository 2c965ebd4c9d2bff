"""Push the project's image to a registry, and name it by its digest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound
from plumbum import ProcessExecutionError, local

from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_toml

_GITHUB = re.compile(
    r"(?:https://|ssh://git@|git@)(?:[^@/]+@)?github\.com[:/]([\w.-]+)/([\w.-]+?)(?:\.git)?/?"
)


def repository(root: Path) -> str:
    """Where the project's image goes, such as "ghcr.io/team/forest-watch".

    That is `tool.gaiaflow.release.image` in pyproject.toml, or else GitHub's registry if the
    project's remote is there.

    Raises:
        GaiaflowError: neither is known.
    """
    known: dict[str, Any] = read_toml(root / "pyproject.toml")
    chosen = known.get("tool", {}).get("gaiaflow", {}).get("release", {}).get("image")
    if chosen:
        return str(chosen)
    try:
        remote = str(local["git"]("-C", str(root), "remote", "get-url", "origin")).strip()
    except ProcessExecutionError:
        remote = ""
    if found := _GITHUB.fullmatch(remote):
        return f"ghcr.io/{found[1]}/{found[2]}".lower()
    raise GaiaflowError(
        "It is not known where the project's image goes.\n"
        "Say it in pyproject.toml:\n\n"
        "    [tool.gaiaflow.release]\n"
        '    image = "registry.example.com/team/project"'
    )


def push(client: docker.DockerClient, image: str, repository: str, tag: str) -> str:
    """Push an image.

    Args:
        image: its name on this machine.
        repository: as it is called in the registry, without a tag.
        tag: for people; programs get the digest.

    Returns:
        The repository with the image's digest: "ghcr.io/team/forest@sha256:...".

    Raises:
        GaiaflowError: the image is not there, or the registry refuses it.
    """
    digest = ""
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
    return f"{repository}@{digest}"


def _refused(repository: str, why: str) -> str:
    registry = repository.partition("/")[0]
    return f"{registry} refuses the image: {why}\nLog in first: docker login {registry}"
