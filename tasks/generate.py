"""Finish a project that Copier has just written: secrets, git, and the chosen `setup`.

If a step fails, this prints the commands to run by hand and still exits with code 0: on any other
code, Copier would delete the project.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

from plumbum import FG, CommandNotFound, ProcessExecutionError, cli, local

PROJECT = Path.cwd()
MANAGER, CLUSTER = "mlops_manager.py", "minikube_manager.py"


class Generate(cli.Application):
    """Finish a new project."""

    setup = cli.SwitchAttr("--setup", cli.Set("none", "environment", "start"), mandatory=True)
    backend = cli.SwitchAttr("--backend", cli.Set("local", "compose"), mandatory=True)
    minikube = cli.SwitchAttr("--minikube", cli.Set("yes", "no"), mandatory=True)
    example = cli.SwitchAttr("--example", str, mandatory=True)  # its DAG, or none
    author = cli.SwitchAttr("--author", str, default="")
    email = cli.SwitchAttr("--email", str, default="")
    package = cli.SwitchAttr("--package", str, mandatory=True)
    environment_manager = cli.SwitchAttr("--environment-manager", str, mandatory=True)
    object_store = cli.SwitchAttr("--object-store", str, mandatory=True)

    def main(self) -> int:
        by_hand: list[str] = []
        forget_other_projects()

        def attempt(step: Callable[[], None], command: str) -> bool:
            try:
                step()
            except (ProcessExecutionError, CommandNotFound, OSError) as error:
                by_hand.append(command)
                if not isinstance(error, ProcessExecutionError):
                    say(f"error: {error}")
                elif error.stderr:
                    say(error.stderr)
                return False
            return True

        def run(manager: str, *arguments: str) -> bool:
            return attempt(lambda: manage(manager, *arguments), typed(manager, *arguments))

        identity = (self.package, self.environment_manager, self.object_store)
        attempt(lambda: write_secrets(*identity), "python3 mlops_manager.py start     # for .env")
        own_repository = not inside_repository()
        by_hand_commit = "git init && git add --all && git commit -m 'First commit'"
        if own_repository:
            attempt(lambda: first_commit(self.author, self.email), by_hand_commit)
        else:
            say("The folder is in an existing git repository: commit the new files there yourself.")
        prepare = {"environment": ["deps"], "start": ["start", "--backend", str(self.backend)]}
        chosen = prepare.get(str(self.setup))
        prepared = chosen is not None and run(MANAGER, *chosen)
        if own_repository:  # before the first run: its model leads back to a commit
            attempt(keep_lock, "git add uv.lock && git commit -m 'Lock dependencies'")
        if self.setup == "start":
            if self.example != "none":
                example = ("run", str(self.example))
                if not prepared:
                    by_hand.append(typed(MANAGER, *example))
                elif run(MANAGER, *example):
                    say(f"The example is green, {seconds()} s after the files were written.")
            if self.minikube == "yes":
                run(CLUSTER, "start")
        if by_hand:
            commands = "\n".join(f"    {command}" for command in by_hand)
            say(
                f"\nThe project was created, but some steps failed. Fix the errors, then run:\n"
                f"    cd {shlex.quote(str(PROJECT))}\n{commands}\n"
            )
        return 0


def forget_other_projects() -> None:
    """Drop variables that the shell sets for other projects, such as git's in a hook."""
    sys.path.insert(0, str(PROJECT))
    from gaiaflow.project import inherited  # from the new project

    for name in inherited.left_out(local.env.getdict()):
        local.env.pop(name)


def write_secrets(*identity: str) -> None:
    """Create the state folder and, unless it exists, `.env`.

    The folder records where uv is: the Python that runs this may have one that isn't on PATH.
    """
    from gaiaflow.project import envfile, programs, settings  # from the new project
    from gaiaflow.project.identity import Identity
    from gaiaflow.project.paths import STATE

    (PROJECT / STATE).mkdir(mode=0o700, exist_ok=True)
    programs.remember_uv(PROJECT)
    if not (PROJECT / ".env").exists():
        envfile.write(PROJECT / ".env", settings.env_text(Identity(*identity)))


def inside_repository() -> bool:
    """Whether the project is already in a git repository; False without git."""
    try:
        code, _, _ = local["git"]["rev-parse", "--git-dir"].run(retcode=None)
    except CommandNotFound:
        return False
    return bool(code == 0)


def first_commit(author: str, email: str) -> None:
    """Create a repository and commit all files, which `copier update` requires."""
    git = local["git"]
    git("-c", "init.defaultBranch=main", "init", "--quiet")
    git("-c", f"core.excludesFile={os.devnull}", "add", "--all")  # whatever the user ignores
    commit("--message", "First commit, made by Gaiaflow", author=author, email=email)


def keep_lock() -> None:
    """Add the environment's lock file to the first commit."""
    git = local["git"]
    if not (PROJECT / ".git").exists() or not (PROJECT / "uv.lock").exists():
        return
    git("add", "uv.lock")
    if git("status", "--porcelain", "uv.lock").strip():
        commit("--amend", "--no-edit")


def commit(*options: str, author: str = "", email: str = "") -> None:
    """Commit as git's user, or else as the project's author, without hooks or signatures."""
    git = local["git"]["-c", "commit.gpgsign=false"]
    code, _, _ = git["var", "GIT_COMMITTER_IDENT"].run(retcode=None)
    if code != 0:
        name, address = author or "Gaiaflow", email or "gaiaflow@localhost"
        git = git["-c", f"user.name={name}", "-c", f"user.email={address}"]
    git("commit", "--quiet", "--no-verify", *options)


def manage(manager: str, *arguments: str) -> None:
    """Run one of the project's commands and show its output."""
    local[sys.executable][str(PROJECT / manager), arguments] & FG


def typed(manager: str, *arguments: str) -> str:
    """One of the project's commands, as people type it."""
    return shlex.join(["python3", manager, *arguments])


def seconds() -> int:
    """Seconds since Copier wrote the project's files, without the time it waited for answers."""
    return round(time.time() - (PROJECT / ".copier-answers.yml").stat().st_mtime)


def say(text: str) -> None:
    """Print to standard error, which Copier shows unchanged."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    Generate.run()
