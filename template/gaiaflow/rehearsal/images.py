"""The images of a rehearsal: built from a commit, and loaded into the cluster."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from gaiaflow.backends import Notify, engine
from gaiaflow.backends.compose import ComposeBackend
from gaiaflow.minikube import program
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project
from gaiaflow.release.publishing import check_lock, project_at


@dataclass(frozen=True)
class Images:
    """Names of images: of the project, of Airflow and of MLflow."""

    package: str
    airflow: str
    mlflow: str


def build(project: Project, folder: Path, commit: str, notify: Notify) -> Images:
    """Build the images from a folder and load them into the cluster.

    They are named by the commit, so that pods get new ones after a change.

    Raises:
        GaiaflowError: the lock file is not up to date, or Docker or minikube failed.
    """
    stem = _stem(project)
    there = project_at(folder, project, stem, f"{stem}-package")
    check_lock(there, "the last commit", "try again")
    backend = ComposeBackend(there, notify)
    with contextlib.closing(engine.connect()) as client:
        built = (backend.build_package(), backend.build_airflow(), backend.build_mlflow())
        named = []
        for name in built:
            with engine.answering():
                client.images.get(name).tag(name, commit)
                client.images.remove(name)  # as "latest", it would be looked for in a registry
            named.append(f"{name}:{commit}")
            load(project, named[-1], notify)
    return Images(*named)


def load(project: Project, image: str, notify: Notify) -> None:
    """Load an image of this machine into the cluster, unless it is there.

    Raises:
        GaiaflowError: minikube failed.
    """
    if image in program.run(project, "image", "ls"):
        return
    notify(f"load {image}", "running", "")
    program.run(project, "image", "load", "--overwrite=true", image)
    notify(f"load {image}", "done", "")


def remove(project: Project) -> None:
    """Remove the images that `build` has made, here and in the cluster.

    Raises:
        GaiaflowError: Docker failed.
    """
    with contextlib.closing(engine.connect()) as client, engine.answering():
        every = [tag for image in client.images.list() for tag in image.tags]
        for name in (tag for tag in every if tag.startswith(f"{_stem(project)}-")):
            client.images.remove(name)
            with contextlib.suppress(GaiaflowError):  # it isn't there
                program.run(project, "image", "rm", name)


def _stem(project: Project) -> str:
    return f"{project.env['COMPOSE_PROJECT_NAME']}-rehearsal"
