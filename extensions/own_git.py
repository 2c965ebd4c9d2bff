"""Isolate the git commands of a Copier update from the user's configuration and repository.

Copier commits in temporary folders. There, the user's hooks may fail, file names that aren't UTF-8
can't be read, and with `GIT_DIR` set (as in a hook or `git rebase --exec`) the commit would go to
the user's repository. Then Copier applies a patch to the project. Because copier.yml lets it render
nothing, the patch could only restore files that the user has just deleted, so git is configured to
refuse every patch with an indented line.
"""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import copier._main
from jinja2 import Environment
from jinja2.ext import Extension
from plumbum import local

CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.quotePath": "false",
    "core.safecrlf": "false",
    "core.whitespace": "indent-with-non-tab,tabwidth=1",
    "apply.whitespace": "error",
}


def own_git(project: Path) -> bool:
    """Configure git for this Copier process and its children; always True."""
    # Copier's function expects every name to be quoted UTF-8, and fails on an unquoted "Ü".
    copier._main.normalize_git_path = path_of  # type: ignore[attr-defined]
    env = local.env
    for name in local["git"]("rev-parse", "--local-env-vars").split():
        if name in env and not name.startswith("GIT_CONFIG"):
            del env[name]
    ask = local["git"]["-C", str(project), "rev-parse", "--show-object-format"]
    env["GIT_DEFAULT_HASH"] = ask.run(retcode=None)[1].strip() or "sha1"
    count = int(env.get("GIT_CONFIG_COUNT") or 0)
    if count >= len(CONFIG) and env.get(f"GIT_CONFIG_KEY_{count - 1}") == list(CONFIG)[-1]:
        return True  # the second of two stages
    for number, (key, value) in enumerate(CONFIG.items(), start=count):
        env[f"GIT_CONFIG_KEY_{number}"], env[f"GIT_CONFIG_VALUE_{number}"] = key, value
    env["GIT_CONFIG_COUNT"] = str(count + len(CONFIG))
    return True


def path_of(path: str) -> str:
    """Decode a path from git's output, which quotes and escapes special characters."""
    if not path.startswith('"'):
        return path
    escaped = path[1:-1].encode("utf-8", "surrogateescape")
    return os.fsdecode(bytes(codecs.escape_decode(escaped)[0]))


class OwnGitExtension(Extension):
    """Globals: own_git(project)."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals["own_git"] = own_git
