"""The environments of a project, kept apart to avoid conflicting pins.

- Airflow's, in `.gaiaflow/airflow`: from `locks/airflow.txt`, with hashes. The managers run in it.
- the project's: the user's dependencies, installed by uv, pixi or conda.
- that of the map, in `.gaiaflow/maps`: from `locks/maps.txt`, once the map is opened.

Standard library only: `mlops_manager.py` uses it to create the first environment. Run as a program,
it creates the second, or the one that is named.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_identity, read_toml
from gaiaflow.project.paths import AIRFLOW_LOCK, LOCKS, MAPS_LOCK, ROOT, StateFolder
from gaiaflow.project.programs import find, find_uv, run, say
from gaiaflow.project.stamps import Stamp

OLDEST, TOO_NEW = (3, 11), (3, 15)  # the Pythons that the locks support


# --- Airflow's, and that of the map --------------------------------------------------------------


def airflow_stamp(root: Path) -> Stamp:
    """The stamp that tells whether Airflow's environment is complete and matches its lock."""
    state = StateFolder(root)
    return Stamp(state.airflow_stamp, state.airflow_python, [AIRFLOW_LOCK])


def make_airflow(root: Path) -> None:
    """Create Airflow's environment, or update it to match its lock.

    Raises:
        GaiaflowError: uv is missing or failed, or Airflow can't run in this folder.
    """
    stamp = airflow_stamp(root)
    if stamp.is_fresh():
        return
    if not stamp.product.exists():
        check_path(root)
    say("Creating Airflow's environment (once; the first time downloads about 150 MB)")
    _make_locked(StateFolder(root).airflow, stamp)


def maps_stamp(root: Path) -> Stamp:
    """The same for the environment of the map."""
    state = StateFolder(root)
    return Stamp(state.maps_stamp, state.maps_python, [MAPS_LOCK])


def make_maps(root: Path) -> None:
    """Create the environment of the map, or update it to match its lock.

    Raises:
        GaiaflowError: uv is missing or failed.
    """
    say("Creating the environment of the map (once; the first time downloads about 100 MB)")
    _make_locked(StateFolder(root).maps, maps_stamp(root))


def _make_locked(prefix: Path, stamp: Stamp) -> None:
    """Create or update an environment; the stamp names its Python and its lock."""
    uv = find_uv()
    python, [lock] = stamp.product, stamp.sources
    if not python.exists() or (python_of(prefix) or OLDEST) < OLDEST:
        run([uv, "venv", "--quiet", "--clear", "--python", _base_python(), str(prefix)])
    # Compile now: otherwise each of several processes would, starting at the same time.
    options = ["--require-hashes", "--compile-bytecode", "--python", str(python)]
    run([uv, "pip", "sync", *options, str(lock)])
    stamp.write()


def python_of(prefix: Path) -> tuple[int, ...] | None:
    """The version of an environment's Python, such as (3, 13); None if there is none."""
    try:
        text = (prefix / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"(?m)^version(?:_info)? *= *(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def check_path(root: Path) -> None:
    """Check that services can run as processes in this folder.

    Raises:
        GaiaflowError: its path contains a % or the name of an environment variable.
    """
    if "%" in str(root) or os.path.expandvars(root) != str(root):
        raise GaiaflowError(
            f"The path {root} has a $ or a %, which Airflow and MLflow misread.\n"
            "Rename the folder whose name has that character."
        )


def _base_python() -> str:
    """The current Python if Airflow supports it; otherwise, let uv find or download one."""
    if OLDEST <= sys.version_info < TOO_NEW:
        return str(getattr(sys, "_base_executable", sys.executable))
    (oldest, too_new) = (".".join(map(str, version)) for version in (OLDEST, TOO_NEW))
    return f">={oldest},<{too_new}"


# --- the project's -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Manager:
    """A program that creates the project's environment: its folder and commands."""

    prefix: str
    install: str
    locking: Callable[[Path], Sequence[Sequence[str]]]
    sync: Callable[[Path], Sequence[Sequence[str]]]
    lock: str


class ProjectEnvironment:
    """The environment of the user's dependencies, created by uv, pixi or conda."""

    def __init__(self, root: Path, manager: str) -> None:
        self._root = root
        self._manager = MANAGERS[manager]
        self.prefix = self._manager.prefix
        self.python = root / self.prefix / "bin" / "python"
        state, declared = StateFolder(root), root / "pyproject.toml"
        lock = root / self._manager.lock
        # They tell whether the environment and its lock file match the dependencies.
        self.stamp = Stamp(state.project_stamp, self.python, [declared, lock])
        self._lock_stamp = Stamp(state.lock_stamp, lock, [declared])

    def make(self) -> None:
        """Create the environment, or update it to match its dependencies.

        Raises:
            GaiaflowError: the environment manager is missing or failed.
        """
        for command in self._manager.sync(self._root):
            run(command, cwd=self._root)
        self.stamp.write()

    def lock(self) -> None:
        """Update the lock file to match the dependencies, for an environment built elsewhere.

        Raises:
            GaiaflowError: the environment manager is missing or failed.
        """
        if self._lock_stamp.is_fresh():
            return
        for command in self._manager.locking(self._root):
            run(command, cwd=self._root)
        self._lock_stamp.write()


def check_workspace(root: Path) -> None:
    """Check that the project is not in a uv workspace: uv would put the environment there.

    Raises:
        GaiaflowError: the project is a member; the message says how to exclude it.
    """
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
                f"The project is inside the uv workspace {folder}, where uv would create its "
                f"environment.\nIn {folder / 'pyproject.toml'}, below [tool.uv.workspace], add "
                f'"{name}" to the list `exclude`:\n    exclude = ["{name}"]'
            )
        return


def _uv_lock(root: Path) -> Sequence[Sequence[str]]:
    uv = find_uv()
    check_workspace(root)
    if (root / "uv.lock").exists():
        return [[uv, "lock"]]
    # The first lock starts from the versions that the template was tested with. Only `uv add` takes
    # such constraints; adding an existing dependency doesn't change pyproject.toml.
    tested = ["--constraints", str(LOCKS / "project.txt")]
    first = str(read_toml(root / "pyproject.toml")["project"]["dependencies"][0])
    return [[uv, "add", "--raw", "--no-sync", *tested, first]]


def _uv_sync(root: Path) -> Sequence[Sequence[str]]:
    check_workspace(root)
    sync = [find_uv(), "sync", "--inexact"]  # keeps packages that were installed by hand
    return [sync] if (root / "uv.lock").exists() else [*_uv_lock(root), sync]


def _pixi_lock(root: Path) -> Sequence[Sequence[str]]:
    return [[find("pixi", MANAGERS["pixi"].install), "lock"]]


def _pixi_sync(root: Path) -> Sequence[Sequence[str]]:
    return [[find("pixi", MANAGERS["pixi"].install), "install"]]


def _no_lock(root: Path) -> Sequence[Sequence[str]]:
    return []  # environment.yml has exact versions


def _conda_sync(root: Path) -> Sequence[Sequence[str]]:
    conda = shutil.which("mamba") or find("conda", MANAGERS["conda"].install)
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


if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["maps"]:
            make_maps(ROOT)
        else:
            ProjectEnvironment(ROOT, read_identity(ROOT).environment_manager).make()
    except GaiaflowError as error:
        raise SystemExit(str(error)) from None
