"""The registry of an image."""

from __future__ import annotations


def registry(image: str) -> str:
    """The registry's host, such as "ghcr.io"; Docker Hub's if the name has none."""
    host, slash, _ = image.partition("/")
    named = slash and ("." in host or ":" in host or host == "localhost")
    return host if named else "docker.io"
