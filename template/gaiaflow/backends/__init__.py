"""The two backends, which run services as processes or containers, and the choice of one."""

from __future__ import annotations

from gaiaflow.backends.base import Backend, Notify, ServiceStatus
from gaiaflow.backends.local import LocalBackend
from gaiaflow.project import variables
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.paths import StateFolder
from gaiaflow.project.project import Project

__all__ = ["Backend", "Notify", "ServiceStatus", "active", "choose", "make", "remember", "used"]


def make(name: str, project: Project, notify: Notify) -> Backend:
    """Create the backend with this name."""
    if name == "local":
        return LocalBackend(project, notify)
    # On demand: Docker's client takes a quarter of a second to import.
    from gaiaflow.backends.compose import ComposeBackend

    return ComposeBackend(project, notify)


def active(state: StateFolder) -> str:
    """The name of the backend that was started last."""
    marker = state.backend
    name = marker.read_text(encoding="utf-8").strip() if marker.exists() else ""
    return name if name in {"local", "compose"} else "local"


def used(state: StateFolder) -> list[str]:
    """The names of the backends that this project may have used."""
    return ["local", *["compose"] * state.compose_root.exists()]


def remember(state: StateFolder, name: str) -> None:
    """Record which backend is started."""
    state.path.mkdir(exist_ok=True)
    state.backend.write_text(f"{name}\n", encoding="utf-8")


def choose(project: Project) -> tuple[str, str]:
    """Choose the backend to start if none is requested. Return its name and the reason."""
    wanted = project.env[variables.BACKEND]
    if wanted != "auto":
        return wanted, f"{variables.BACKEND} is set in .env"
    if active(project.state) == "local" and project.state.backend.exists():
        return "local", "same as last time"
    from gaiaflow.backends import compose

    try:
        if compose.has_images(project):
            return "compose", "Docker answers and has the images"
    except GaiaflowError:
        return "local", "Docker does not answer"
    return "local", "Docker has no images of this project; --backend compose builds them"
