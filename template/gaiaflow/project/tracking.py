"""The MLflow servers that commands can use: this project's own, and those of the two stages.

Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project

# MLflow's own variables; with a stage in front, settings: PROD_MLFLOW_TRACKING_URI.
_URI, _USERNAME, _PASSWORD, _TOKEN, _CERTIFICATE = VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
)

# Tags of versions, and of the runs of copies.
CHAMPION_SINCE = "champion_since"  # of versions that are or were the champion: ISO 8601, UTC
PROMOTED = "gaiaflow.promoted."  # what copies of versions in other registries come from
FILES = f"{PROMOTED}files"  # the digest of a copy's files

_LOCAL = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True)
class Server:
    """An MLflow server.

    stage: "staging" or "prod"; empty for the project's own.
    env: MLflow's variables with which its clients find it and log in.
    """

    stage: str
    env: Mapping[str, str] = field(repr=False)  # secrets

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"the MLflow of {self.stage}" if self.stage else "this project's MLflow"

    @property
    def url(self) -> str:
        return self.env[_URI]

    @property
    def is_local(self) -> bool:
        """Whether no proxy leads there."""
        return urlsplit(self.url).hostname in _LOCAL

    @property
    def login(self) -> tuple[str, str] | None:
        """User and password."""
        user, password = self.env.get(_USERNAME, ""), self.env.get(_PASSWORD, "")
        return (user, password) if user and password else None

    @property
    def token(self) -> str:
        return self.env.get(_TOKEN, "")

    @property
    def certificate(self) -> str | None:
        """The file with the certificate of the authority that has signed the server's."""
        return self.env.get(_CERTIFICATE)


def server(project: Project, stage: str = "", environ: Mapping[str, str] = os.environ) -> Server:
    """The project's own MLflow, or that of a stage by the settings in `.env`.

    Args:
        environ: variables that come before those in `.env`, such as the secrets of a CI job.

    Raises:
        GaiaflowError: the settings of the stage are missing or invalid. No value is shown.
    """
    if not stage:
        own = {name: project.env[name] for name in (_USERNAME, _PASSWORD)}
        return Server("", {_URI: project.url("MLFLOW_PORT"), **own})
    prefix = f"{stage.upper()}_"
    given = {
        name.removeprefix(prefix): value
        for name, value in {**project.env, **environ}.items()
        if name.startswith(f"{prefix}MLFLOW_") and value
    }
    if unknown := sorted(given.keys() - set(VARIABLES)):
        known = ", ".join(prefix + name for name in VARIABLES)
        raise GaiaflowError(f"{prefix}{unknown[0]} is not a setting. There are: {known}.")
    if _URI not in given:
        raise GaiaflowError(
            f"It is not known where the MLflow of {stage} is.\n"
            f"In .env, set {prefix}{_URI}, {prefix}{_USERNAME} and {prefix}{_PASSWORD} "
            f"(or {prefix}{_TOKEN})."
        )
    given[_URI] = _checked(given[_URI], prefix)
    if _CERTIFICATE in given:  # else, it would depend on the current folder
        given[_CERTIFICATE] = str(project.root / given[_CERTIFICATE])
    return Server(stage, given)


def _checked(uri: str, prefix: str) -> str:
    try:
        parts = urlsplit(uri)
        whole = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole or parts.query or parts.fragment:
        raise GaiaflowError(
            f"{prefix}{_URI} is not the address of a server, such as https://mlflow.example.com."
        )
    if "@" in parts.netloc:
        raise GaiaflowError(
            f"{prefix}{_URI} has a user or a password, which would be stored with every model.\n"
            f"Set {prefix}{_USERNAME} and {prefix}{_PASSWORD} instead."
        )
    return uri.rstrip("/")
