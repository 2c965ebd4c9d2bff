"""A project's release, with the steps of its site as in CI; only the site itself is a double."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

TEMPLATE = Path(__file__).parents[1] / "template"
FILES = {
    "github": (".github/workflows/release.yml.jinja", ".github/workflows/deploy.yml"),
    "gitlab": (".gitlab-ci.yml.jinja",),
}
PROGRAMS = {
    "pipx": "exit 0",  # uv is there, or not needed
    "gh": '[ "$*" = "auth setup-git" ]',
    "python3": f'exec "{sys.executable}" -B "$@"',
}


class Workflow:
    """What a site does with one tag.

    Args:
        site: "github" or "gitlab".
        tag: what was pushed.
        folder: for the programs that CI's machines have.
    """

    def __init__(self, site: str, tag: str, folder: Path) -> None:
        self._site, self._tag, self._bin = site, tag, folder
        answers = {"environment_manager": "uv", "ci": site, "deploy": "kubernetes"}
        self._jobs: dict[str, Any] = {}
        for name in FILES[site]:
            text = (TEMPLATE / name).read_text(encoding="utf-8")
            if name.endswith(".jinja"):
                text = jinja2.Template(text).render(answers)
            loaded = yaml.safe_load(text)
            self._jobs |= loaded["jobs"] if site == "github" else loaded
        folder.mkdir(exist_ok=True)
        for program, does in PROGRAMS.items():
            path = folder / program
            path.write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
            path.chmod(0o755)

    def run(
        self,
        job: str,
        checkout: Path,
        known: Mapping[str, str | Callable[[], str]],
        environment: Mapping[str, str],
    ) -> None:
        """Run a job's commands in a clone.

        Args:
            known: GitHub's expressions, or GitLab's variables, and their values.
            environment: the machine's variables.
        """

        def value(name: str) -> str:
            found = known[name.removeprefix("${{ ").removesuffix(" }}")]
            return found if isinstance(found, str) else found()

        if self._site == "gitlab":  # all in one shell
            given = {"CI_COMMIT_TAG": self._tag, "CI_SERVER_HOST": "git.example"}
            given |= {name: value(name) for name in known}
            self._bash("\n".join(self._jobs[job]["script"]), checkout, {**environment, **given})
            return
        for step in self._jobs[job]["steps"]:
            given = {name: value(text) for name, text in step.get("env", {}).items()}
            given["GITHUB_REF_NAME"] = self._tag
            self._bash(step.get("run", ""), checkout, {**environment, **given})

    def _bash(self, script: str, folder: Path, env: dict[str, str]) -> None:
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=folder,
            env={**env, "PATH": f"{self._bin}{os.pathsep}{env['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done
