"""Which version of a model is meant, and what happened while it was the champion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gaiaflow.mlflow_client import Version
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.tracking import CHAMPION_SINCE


def split_model(text: str) -> tuple[str, str]:
    """The name of a model, and the version or "@alias" that is meant; empty if neither is named."""
    text = text.removeprefix("models:/")
    for sign in ("@", "/"):
        name, found, wanted = text.partition(sign)
        if found:
            return name, f"@{wanted}" if sign == "@" else wanted
    return text, ""


def named_model(thing: str, names: Iterable[str]) -> tuple[str, str] | None:
    """The same if a thing means one of these registered models."""
    name, wanted = split_model(thing)
    return (name, wanted) if name in names else None


def choose(versions: Sequence[Version], name: str, wanted: str) -> Version:
    """The version that is meant: by default, the champion, or else the newest.

    Args:
        versions: newest first.

    Raises:
        GaiaflowError: there is no such version.
    """
    if not versions:
        raise GaiaflowError(f"The model {name!r} has no version.")
    if not wanted:
        return next((version for version in versions if version.is_champion), versions[0])
    for version in versions:
        if wanted in {str(version.version), *(f"@{alias}" for alias in version.aliases)}:
            return version
    what = f"alias {wanted[1:]!r}" if wanted.startswith("@") else f"version {wanted}"
    known = [str(version.version) for version in versions]
    known += [f"@{alias}" for version in versions for alias in version.aliases]
    raise GaiaflowError(f"{name} has no {what}. It has: {', '.join(known)}.")


def challengers(versions: Iterable[Version], champion: Version) -> tuple[int, ...]:
    """The versions that were registered while a version was the champion, by `champion_since`."""
    versions = list(versions)
    reigns = sorted(
        (version.tags[CHAMPION_SINCE], version.version)
        for version in versions
        if CHAMPION_SINCE in version.tags
    )

    def champion_at(moment: str) -> int | None:
        before = [version for since, version in reigns if since <= moment]
        return before[-1] if before else None

    found = (
        version.version
        for version in versions
        if champion_at(version.registered) == champion.version
        and version.version != champion.version
    )
    return tuple(sorted(found))
