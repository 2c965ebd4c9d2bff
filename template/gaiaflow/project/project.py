"""A project on this machine: its identity, folder and settings.

Standard library only: notebooks and every task read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from gaiaflow.project import envfile, settings, variables
from gaiaflow.project.environments import ProjectEnvironment
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import Identity, read_identity
from gaiaflow.project.paths import StateFolder


@dataclass(frozen=True)
class Project:
    """A project: its folder, its identity (pyproject.toml) and its settings (`.env`)."""

    root: Path
    identity: Identity
    env: Mapping[str, str]

    @cached_property
    def state(self) -> StateFolder:
        """The folder for what programs write: environments, databases, logs."""
        return StateFolder(self.root)

    @cached_property
    def environment(self) -> ProjectEnvironment:
        """The environment with the project's dependencies."""
        return ProjectEnvironment(self.root, self.identity.environment_manager)

    @property
    def source(self) -> str:
        """The folder with the code for an image: the package, or the `src` around it."""
        package = self.identity.package
        in_src = (self.root / "src" / package).is_dir()
        return "src" if in_src and not (self.root / package).is_dir() else package

    @property
    def package_folder(self) -> str:
        """The folder of the package in the project, such as "src/my_project"."""
        package = self.identity.package
        return f"src/{package}" if self.source == "src" else package

    def port(self, name: str) -> int:
        """The port in this setting."""
        return int(self.env[name])

    def url(self, port_name: str) -> str:
        """The URL of a service on this machine."""
        return f"http://127.0.0.1:{self.env[port_name]}"

    def own_variables(self) -> dict[str, str]:
        """Variables that the user added to `.env`, which stand in for Kubernetes secrets."""
        ours = {setting.name for setting in settings.SETTINGS}
        prefixes = ("GAIAFLOW_", *variables.STAGE_PREFIXES)
        return {
            name: value
            for name, value in self.env.items()
            if name not in ours and not name.startswith(prefixes)
        }

    def replaced(self, changes: Mapping[str, str]) -> Project:
        """The same project with changed settings, without storing them."""
        return replace(self, env={**self.env, **changes})

    def with_env(self, changes: Mapping[str, str]) -> Project:
        """Store changed settings in `.env`, and return the project with them."""
        envfile.update(self.root / ".env", changes)
        return self.replaced(changes)


def find_root(start: Path | None = None) -> Path:
    """Find the project that contains a path: the nearest folder with a `mlops_manager.py`.

    Raises:
        GaiaflowError: no project contains it.
    """
    start = (start or Path(__file__)).resolve()
    for folder in (start, *start.parents):
        if (folder / "mlops_manager.py").is_file():
            return folder
    raise GaiaflowError(f"{start} is not in a Gaiaflow project: no mlops_manager.py above it.")


def load(root: Path) -> Project:
    """Read a project's identity and settings without changing anything.

    Raises:
        GaiaflowError: pyproject.toml or .env is missing, incomplete or unreadable; the message
            names the file, the line or the setting.
    """
    identity = read_identity(root)
    path = root / ".env"
    if not path.exists():
        raise GaiaflowError(
            "There is no .env with this project's passwords on this machine.\n"
            "Create it, and start the services: python3 mlops_manager.py start"
        )
    env = envfile.read(path)
    settings.check(env)
    return Project(root, identity, {**env, **settings.repeated(identity)})


def prepare(root: Path) -> Project:
    """Load a project for a command; create `.env` in a fresh clone, and keep it up to date.

    Raises:
        GaiaflowError: as for `load`.
    """
    identity = read_identity(root)
    path = root / ".env"
    if not path.exists():  # git never has secrets
        envfile.write(path, settings.env_text(identity))
    project = load(root)
    if not settings.repeated(identity).items() <= envfile.read(path).items():
        envfile.update(path, settings.repeated(identity))
    return project
