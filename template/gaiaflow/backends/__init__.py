"""What services run as, processes or containers, and which of the two a command is for."""

from __future__ import annotations

from gaiaflow.backends.base import Backend, Report, State
from gaiaflow.backends.local import LocalBackend
from gaiaflow.errors import GaiaflowError
from gaiaflow.settings import Project

__all__ = ["Backend", "Report", "State", "active", "choose", "make", "remember", "used"]


def make(name: str, project: Project, report: Report) -> Backend:
    """The backend of this name."""
    if name == "local":
        return LocalBackend(project, report)
    # On demand: Docker's client takes a quarter of a second to import.
    from gaiaflow.backends.compose import ComposeBackend

    return ComposeBackend(project, report)


def active(project: Project) -> str:
    """The name of the backend that was started last."""
    marker = project.state / "backend"
    name = marker.read_text(encoding="utf-8").strip() if marker.exists() else ""
    return name if name in {"local", "compose"} else "local"


def used(project: Project) -> list[str]:
    """The names of the backends that may have left something of this project."""
    return ["local", *["compose"] * (project.state / "compose-root").exists()]


def remember(project: Project, name: str) -> None:
    """Note which backend is started."""
    project.state.mkdir(exist_ok=True)
    (project.state / "backend").write_text(f"{name}\n", encoding="utf-8")


def choose(project: Project) -> tuple[str, str]:
    """The name of the backend to start, if nobody said which, and why that one."""
    wanted = project.env["GAIAFLOW_BACKEND"]
    if wanted != "auto":
        return wanted, "as .env says"
    if active(project) == "local" and (project.state / "backend").exists():
        return "local", "as the last time"
    from gaiaflow.backends import compose

    try:
        if compose.has_images(project):
            return "compose", "Docker answers and has the images"
    except GaiaflowError:
        return "local", "Docker does not answer"
    return "local", "Docker has no images of this project; --backend compose makes them"
