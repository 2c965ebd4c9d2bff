"""The two environments of a project, apart so that no pin of one can break the other.

- Airflow's, in `.gaiaflow/airflow`: from `locks/airflow.txt`, with hashes. The managers run in it.
- the project's: the user's dependencies, made by uv, pixi or conda.

Standard library only: `mlops_manager.py` makes the first environment with it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gaiaflow import inherited
from gaiaflow.errors import GaiaflowError
from gaiaflow.stamps import Stamp

PYTHONS = ">=3.10,<3.14"
_ROOT = Path(__file__).resolve().parent.parent
_LOCKS = Path(__file__).parent / "locks"
AIRFLOW_LOCK = _LOCKS / "airflow.txt"


def airflow_python(root: Path) -> Path:
    """The interpreter of Airflow's environment."""
    return root / ".gaiaflow" / "airflow" / "bin" / "python"


def airflow_stamp(root: Path) -> Stamp:
    """What tells whether Airflow's environment is whole, and up to its lock."""
    python = airflow_python(root)
    return Stamp(python.parent.parent / "gaiaflow.stamp", python, [AIRFLOW_LOCK])


def make_airflow(root: Path) -> None:
    """Make Airflow's environment, or bring it up to its lock. Does nothing if it is.

    Raises:
        GaiaflowError: uv is missing or failed, or Airflow can't work in this folder.
    """
    python = airflow_python(root)
    prefix = python.parent.parent
    stamp = airflow_stamp(root)
    if stamp.is_fresh():
        return
    if not python.exists():
        check_path(root)
    uv = find_uv()
    say("Making Airflow's environment (once; the first time downloads about 150 MB)")
    if not python.exists():
        run([uv, "venv", "--quiet", "--clear", "--python", _base_python(), str(prefix)])
    # Compiled at once: several processes start from it together, and each would compile it.
    options = ["--require-hashes", "--compile-bytecode", "--python", str(python)]
    run([uv, "pip", "sync", *options, str(AIRFLOW_LOCK)])
    stamp.write()


@dataclass(frozen=True)
class Manager:
    """A program that makes the project's environment: where it puts it, and how it is called."""

    prefix: str
    install: str
    locking: Callable[[Path], Sequence[Sequence[str]]]
    sync: Callable[[Path], Sequence[Sequence[str]]]
    lock: str


def project_python(root: Path, manager: str) -> Path:
    """The interpreter of the project's environment."""
    return root / MANAGERS[manager].prefix / "bin" / "python"


def project_stamp(root: Path, manager: str) -> Stamp:
    """What tells whether the project's environment is up to its dependencies."""
    sources = [root / "pyproject.toml", root / MANAGERS[manager].lock]
    return Stamp(root / ".gaiaflow" / "project.stamp", project_python(root, manager), sources)


def make_project(root: Path, manager: str) -> None:
    """Make the project's environment, or bring it up to its dependencies.

    Raises:
        GaiaflowError: the environment manager is missing or failed.
    """
    for command in MANAGERS[manager].sync(root):
        run(command, cwd=root)
    project_stamp(root, manager).write()


def lock_project(root: Path, manager: str) -> None:
    """Bring the lock file up to the project's dependencies, for an environment made elsewhere.

    Raises:
        GaiaflowError: the environment manager is missing or failed.
    """
    sources = [root / "pyproject.toml"]
    product = root / MANAGERS[manager].lock
    stamp = Stamp(root / ".gaiaflow" / "lock.stamp", product, sources)
    if stamp.is_fresh():
        return
    for command in MANAGERS[manager].locking(root):
        run(command, cwd=root)
    stamp.write()


def check_path(root: Path) -> None:
    """Refuse a folder in which services can't run as processes.

    Raises:
        GaiaflowError: its path has a % or the name of an environment variable in it.
    """
    if "%" in str(root) or os.path.expandvars(root) != str(root):
        raise GaiaflowError(
            f"The path {root} has a $ or a %, which Airflow and MLflow misread.\n"
            "Rename the folder so that its path has neither."
        )


def check_workspace(root: Path) -> None:
    """Refuse to be part of another project's uv workspace: the environment would be made there.

    Raises:
        GaiaflowError: the project is a member of one; the message has what keeps it out.
    """
    from gaiaflow.settings import read_toml

    for folder in root.parents:
        try:
            workspace = read_toml(folder / "pyproject.toml")["tool"]["uv"]["workspace"]
        except (GaiaflowError, OSError, KeyError, TypeError):
            continue
        inside, out = (
            any(root in folder.glob(pattern) for pattern in workspace.get(key, ()))
            for key in ("members", "exclude")
        )
        if inside and not out:
            name = root.relative_to(folder).as_posix()
            raise GaiaflowError(
                f"The project lies in the uv workspace of {folder}, where uv would make its "
                f"environment.\nIn {folder / 'pyproject.toml'}, below [tool.uv.workspace], add "
                f'"{name}" to the list `exclude`:\n    exclude = ["{name}"]'
            )
        return


def find_uv() -> str:
    """The path of uv: on PATH, or else in one of the places where it is known to be.

    Raises:
        GaiaflowError: there is none.
    """
    return _find("uv", "`pip install uv`, or see https://docs.astral.sh/uv", *uv_folders(_ROOT))


def uv_folders(root: Path) -> list[Path]:
    """Where uv may lie when it is not on PATH."""
    home = Path(os.environ.get("HOME", "/"))
    try:
        remembered = list(map(Path, _uv_record(root).read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError):
        remembered = []
    return [
        Path(sys.executable).parent,
        *remembered,
        home / ".gaiaflow" / "bin",  # README's own first command puts it there
        home / ".local" / "bin",
        home / ".cargo" / "bin",
        airflow_python(root).parent,
    ]


def remember_uv(root: Path) -> None:
    """Note where uv lies now, for a later command that another Python runs."""
    with contextlib.suppress(GaiaflowError, OSError):
        folder = Path(find_uv()).parent
        record = _uv_record(root)
        record.parent.mkdir(exist_ok=True)
        record.write_text(f"{folder}\n", encoding="utf-8")


def _uv_record(root: Path) -> Path:
    return root / ".gaiaflow" / "uv"


def say(text: str) -> None:
    """Tell the user what is under way; standard output stays free for results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def clean_env() -> dict[str, str]:
    """This process's environment variables without what is meant for other projects."""
    return inherited.clean(os.environ)


def run(
    command: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Run a program in sight of the user; of a traceback only the last line, which says what.

    Raises:
        GaiaflowError: it failed; the message has the command.
    """
    listing = re.compile(rb" [+~-] ")  # uv's list of all packages, longer than a screen
    always = {"CONDA_ALWAYS_YES": "true", "MAMBA_ALWAYS_YES": "true"}
    with subprocess.Popen(
        list(command),
        cwd=cwd,
        env={**clean_env(), **always, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        in_traceback = False
        try:
            for line in process.stdout or ():
                begins = line.startswith(b"Traceback (most recent call last)")
                in_traceback = begins or (in_traceback and line[:1] in {b" ", b"\n"})
                if not in_traceback and not listing.match(line):
                    sys.stderr.buffer.write(line)
                    sys.stderr.flush()
        except KeyboardInterrupt:
            process.wait()  # it was interrupted as well, and may be tidying up
            raise
    if process.returncode:
        shown = " ".join([Path(command[0]).name, *command[1:]])
        raise GaiaflowError(
            f"This failed with exit code {process.returncode}; what it says is above:\n  {shown}\n"
            "Is the network there, is there space on the disk? Then do again what you just did."
        )


def _uv_lock(root: Path) -> Sequence[Sequence[str]]:
    uv = find_uv()
    check_workspace(root)
    if (root / "uv.lock").exists():
        return [[uv, "lock"]]
    # The first lock starts from the versions that the template was tested with. uv takes such
    # constraints in `add` only; to add what is there already changes nothing in pyproject.toml.
    tested = ["--constraints", str(_LOCKS / "project.txt")]
    return [[uv, "add", "--raw", "--no-sync", *tested, _first_dependency(root)]]


def _uv_sync(root: Path) -> Sequence[Sequence[str]]:
    check_workspace(root)
    sync = [find_uv(), "sync", "--inexact"]  # keeps what was installed by hand
    return [sync] if (root / "uv.lock").exists() else [*_uv_lock(root), sync]


def _first_dependency(root: Path) -> str:
    from gaiaflow.settings import read_toml

    return str(read_toml(root / "pyproject.toml")["project"]["dependencies"][0])


def _pixi_lock(root: Path) -> Sequence[Sequence[str]]:
    return [[_find("pixi", MANAGERS["pixi"].install), "lock"]]


def _pixi_sync(root: Path) -> Sequence[Sequence[str]]:
    return [[_find("pixi", MANAGERS["pixi"].install), "install"]]


def _no_lock(root: Path) -> Sequence[Sequence[str]]:
    return []  # environment.yml has exact versions


def _conda_sync(root: Path) -> Sequence[Sequence[str]]:
    conda = shutil.which("mamba") or _find("conda", MANAGERS["conda"].install)
    prefix = str(root / MANAGERS["conda"].prefix)
    verb = ["update", "--prune"] if Path(prefix, "conda-meta").exists() else ["create"]
    return [[conda, "env", *verb, "--prefix", prefix, "--file", "environment.yml"]]


MANAGERS = {
    "uv": Manager(".venv", "`pip install uv`", _uv_lock, _uv_sync, "uv.lock"),
    "pixi": Manager(".pixi/envs/default", "https://pixi.sh", _pixi_lock, _pixi_sync, "pixi.lock"),
    "conda": Manager(
        ".conda", "https://conda-forge.org/download", _no_lock, _conda_sync, "environment.yml"
    ),
}


def _find(program: str, install: str, *folders: Path) -> str:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, folders)])
    found = shutil.which(program, path=path)
    if not found:
        raise GaiaflowError(f"{program} was not found. Install it ({install}), then try again.")
    return found


def _base_python() -> str:
    """The Python that runs this, if Airflow supports it; else uv finds or downloads one."""
    if (3, 10) <= sys.version_info < (3, 14):
        return str(getattr(sys, "_base_executable", sys.executable))
    return PYTHONS


if __name__ == "__main__":
    from gaiaflow.settings import load

    try:
        make_project(_ROOT, load(_ROOT).environment_manager)
    except GaiaflowError as error:
        raise SystemExit(str(error)) from None
