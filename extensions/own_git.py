"""Keep the person's git configuration out of Copier's own work in an update, and git out of theirs.

Copier commits in temporary folders. There a hook of the person's may fail, a file name that is not
UTF-8 can't be read, and with `GIT_DIR` set (as in a hook or `git rebase --exec`) the commit would
go to the person's own repository. Then it applies a patch to the project. As copier.yml lets it
render nothing, that could only bring back what a person has deleted meanwhile; so git is told to
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
    """Set up git for the rest of this Copier process, and for what it starts; always true."""
    # Copier's own takes every name for UTF-8 in quotes, and fails at "Ü" without.
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
    """A path as git lists it: with special characters it is in quotes, and they are escaped."""
    if not path.startswith('"'):
        return path
    escaped = path[1:-1].encode("utf-8", "surrogateescape")
    return os.fsdecode(bytes(codecs.escape_decode(escaped)[0]))


class OwnGitExtension(Extension):
    """Globals: own_git(project)."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals["own_git"] = own_git
