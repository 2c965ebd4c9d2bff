"""Default answers from the user's machine."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment
from jinja2.ext import Extension
from plumbum import CommandNotFound, local

USER = r"^user\.(name|email)$"


@lru_cache(maxsize=1)
def _git_user() -> dict[str, str]:
    try:
        git = local["git"]
    except CommandNotFound:
        return {}
    # NUL separates the entries: a value may contain any other character.
    _, output, _ = git["config", "--null", "--get-regexp", USER].run(retcode=None)
    entries = (entry.partition("\n") for entry in output.split("\0") if entry)
    return {key: value for key, _, value in entries}


def git_user(field: str) -> str:
    """Return `name` or `email` from git's configuration, or "" if it is not set.

    Values that the answer's validator would refuse are cleaned or dropped.
    """
    value = " ".join(_git_user().get(f"user.{field}", "").split())[:80]
    return value if value.isprintable() else ""


class DefaultsExtension(Extension):
    """Globals: git_user(field)."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals["git_user"] = git_user
