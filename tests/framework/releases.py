"""A project that is ready to be released: in a repository, with a remote and an environment."""

from __future__ import annotations

import copy
import shlex
import shutil
import sys
from pathlib import Path

from plumbum import local

from gaiaflow.project.environments import ProjectEnvironment
from gaiaflow.project.project import Project, prepare
from gaiaflow.release.git import Git

from .conftest import IDENTITY, TEMPLATE

CHANGES = """\
# Changes in Forest watch

## 1.2.0 (2026-11-27)

- Maps of **lakes**.

### For administrators

- A new bucket.

## 1.1.0

- First maps.
"""


class Ready:
    """The project and its remote.

    Args:
        folder: where both are made.
        inside: the project's folder in the repository; default: the repository's root.
    """

    def __init__(self, folder: Path, inside: str = "") -> None:
        self._place(folder, inside)
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.remote))
        self.git("clone", "--quiet", str(self.remote), str(self.clone))
        self.git("config", "user.name", "me")
        self.git("config", "user.email", "me@localhost")
        self.root.mkdir(exist_ok=True)
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(TEMPLATE / "gaiaflow", self.root / "gaiaflow", ignore=skip)
        self.write("mlops_manager.py", "")
        self.write(".gitignore", ".env\n.gaiaflow\n.venv\n__pycache__\n.pytest_cache\n")
        self.write("pyproject.toml", f'[project]\nversion = "1.2.0"\n{IDENTITY}')
        self.write("uv.lock", "version = 1\n")
        self.write("CHANGES.md", CHANGES)
        self.write("tests/test_maps.py", "def test_maps() -> None:\n    pass\n")
        python = self.write(
            ".venv/bin/python", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n'
        )
        python.chmod(0o755)
        self.make_environment()
        self.commit()

    def _place(self, folder: Path, inside: str) -> None:
        self.clone, self.remote = folder / "Wälder und Seen", folder / "remote.git"
        self.root = self.clone / inside

    def copied(self, folder: Path) -> Ready:
        """A copy, which is made sooner than another one."""
        made = copy.copy(self)
        made._place(folder, self.root.relative_to(self.clone).as_posix())
        for source, target in ((self.clone, made.clone), (self.remote, made.remote)):
            shutil.copytree(source, target)
        made.git("remote", "set-url", "origin", str(made.remote))
        return made

    def git(self, *arguments: str) -> str:
        """What git says in the clone, if there is one."""
        where = ["-C", str(self.clone)] if self.clone.exists() else []
        return str(local["git"](*where, *arguments)).strip()

    @property
    def asked(self) -> Git:
        return Git(self.root)

    @property
    def project(self) -> Project:
        return prepare(self.root)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def make_environment(self) -> None:
        """As `deps` does it, in no time."""
        ProjectEnvironment(self.root, "uv").stamp.write()

    def commit(self, push: bool = True) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "work")
        if push:
            self.git("push", "--quiet", "origin", "HEAD")
        return self.git("rev-parse", "HEAD")

    def tags(self) -> tuple[list[str], list[str]]:
        """The tags here and on the remote."""
        there = str(local["git"]("-C", str(self.remote), "tag", "--list"))
        return self.git("tag", "--list").split(), there.split()

    def refuse(self, why: str) -> None:
        """Let the remote refuse every push."""
        hook = self.remote / "hooks" / "pre-receive"
        hook.write_text(f"#!/bin/sh\necho {why} >&2\nexit 1\n", encoding="utf-8")
        hook.chmod(0o755)
