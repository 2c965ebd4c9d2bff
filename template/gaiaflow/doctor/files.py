"""Check the project's files: their owner, pyproject.toml and .env."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.doctor.subject import Subject
from gaiaflow.project import envfile
from gaiaflow.project.errors import GaiaflowError, explain
from gaiaflow.project.identity import read_identity
from gaiaflow.project.paths import STATE
from gaiaflow.project.project import load

# Skipped: environments hold tens of thousands of files, all created by one program.
_ENVIRONMENTS = {f"{STATE}/airflow", ".venv", ".pixi", ".conda"}
_LIMIT = 50_000  # files to look at


def file_owner(subject: Subject) -> Finding:
    """Check that all files belong to the project's owner, and that this is the user."""
    check, root = "file-owner", subject.root
    owner = root.stat()
    me = os.geteuid()
    restore = (
        f"{subject.system.sudo}chown -R {owner.st_uid}:{owner.st_gid} {shlex.quote(str(root))}"
    )
    mine = f'sudo chown -R "$(id -u):$(id -g)" {shlex.quote(str(root))}'
    if owner.st_uid != me and not (me and os.access(root, os.W_OK)):
        who = _name(owner.st_uid)
        if me == 0:
            found = (
                f"the project belongs to {who} and you are root: commands will leave root's files"
            )
            return Finding(check, WARNING, found, f"# Work as {who}, without sudo.\n{restore}")
        found = f"the project belongs to {who}, and you may not write to it"
        return Finding(check, PROBLEM, found, f"{mine}    # if it should be yours")
    foreign = [path for path in _files(root) if _uid(path) not in {owner.st_uid, me, None}]
    if not foreign:
        return Finding(check, OK, f"all owned by {_name(owner.st_uid)}")
    uids = sorted({uid for path in foreign if (uid := _uid(path)) is not None})
    shown = ", ".join(str(path.relative_to(root)) for path in foreign[:3])
    found = f"{len(foreign)} owned by {', '.join(map(_name, uids))}, such as {shown}"
    locked = not all(os.access(path, os.W_OK, follow_symlinks=False) for path in foreign)
    fix = f"{restore if me == 0 else mine}    # usually, something was run with sudo"
    return Finding(check, PROBLEM if locked else WARNING, found, fix)


def project_file(subject: Subject) -> Finding | None:
    """Check that pyproject.toml has the project's identity."""
    check = "project-file"
    try:
        identity = read_identity(subject.root)
    except GaiaflowError as error:
        fix = (
            "git diff pyproject.toml\ngit restore pyproject.toml    # the state of the last commit"
        )
        return Finding(check, PROBLEM, str(error).splitlines()[0], fix)
    except OSError as error:
        return Finding(check, PROBLEM, explain(error), "ls -l pyproject.toml")
    return Finding(check, OK, f"package {identity.package}, with {identity.environment_manager}")


def env_file(subject: Subject) -> Finding:
    """Check that .env is valid and private."""
    check, path = "env-file", subject.root / ".env"
    if not path.exists():
        return Finding(check, OK, "no .env yet: the first start creates it")
    try:
        envfile.read(path)
        load(subject.root)
    except GaiaflowError as error:
        what, _, advice = str(error).partition("\n")
        if what.startswith(".env"):  # otherwise pyproject.toml, which `project_file` checks
            comment = "\n".join(f"# {line}" for line in advice.splitlines())
            look = "diff .env .env.example    # .env.example explains every setting"
            return Finding(check, PROBLEM, what, f"{comment}\n{look}".strip())
    except OSError as error:
        fix = f'{subject.system.sudo}chown "$(id -u)" .env && chmod 600 .env'
        return Finding(check, PROBLEM, explain(error), fix)
    if subject.programs.ask("git", "-C", str(subject.root), "ls-files", ".env").out.strip():
        fix = (
            "git rm --cached .env && git commit -m 'Remove .env'\n"
            "# Its passwords stay in git's history: change them if you share the repository."
        )
        return Finding(check, PROBLEM, ".env is in git, with its passwords", fix)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077 and not subject.system.is_wsl:  # wsl-folder reports that
        found = f"other users of this machine may access .env (mode {mode:o})"
        return Finding(check, WARNING, found, "chmod 600 .env")
    return Finding(check, OK, f".env has {len(subject.env)} settings")


def _files(root: Path) -> Iterator[Path]:
    """Yield a project's files and folders; don't follow links or enter environments."""
    seen = 0
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        for name in (*folders, *files):
            yield here / name
        seen += len(folders) + len(files)
        if seen > _LIMIT:
            return
        inside = here.relative_to(root)
        folders[:] = [name for name in folders if (inside / name).as_posix() not in _ENVIRONMENTS]


def _uid(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:  # deleted in the meantime
        return None


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
