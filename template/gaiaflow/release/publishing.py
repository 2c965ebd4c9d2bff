"""Build the images of a release from its tag, and push them."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

from gaiaflow.backends import Notify, engine
from gaiaflow.backends.compose import ComposeBackend
from gaiaflow.project import settings, source
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_identity
from gaiaflow.project.project import Project
from gaiaflow.release import images
from gaiaflow.release.git import Git
from gaiaflow.release.worktrees import checked_out


@dataclass(frozen=True)
class Published:
    """A tag, its commit, and the images made from it: of the project, and of Airflow."""

    tag: str
    commit: str
    image: str
    airflow_image: str


def publish(project: Project, git: Git, tag: str, notify: Notify) -> Published:
    """Build the project's image and Airflow's from a tag, and push them to the registry.

    Raises:
        GaiaflowError: there is no such tag, it is not known where the images go, a build fails, or
            the registry refuses them.
    """
    commit = git.released(tag)
    repository = images.repository(project.root, git)
    label = re.sub(r"[^A-Za-z0-9_.-]", "-", tag)  # what an image's tag may have
    with (
        contextlib.closing(engine.connect()) as client,
        checked_out(project.root, git, f"refs/tags/{tag}") as folder,
    ):
        name = f"{project.env['COMPOSE_PROJECT_NAME']}-release"
        there = project_at(folder, project, name, f"{repository}:{label}")
        check_lock(there, tag, "release again")
        backend = ComposeBackend(there, notify)
        package, airflow = backend.build_package(), backend.build_airflow()
        pushed = []
        for name, target in ((package, repository), (airflow, f"{repository}-airflow")):
            notify(f"push {target}", "running", "")
            pushed.append(images.push(client, name, target, label))
            notify(f"push {target}", "done", "")
        with engine.answering():
            client.images.remove(airflow)  # it has the name by which it was pushed
    return Published(tag, commit, *pushed)


def check_lock(there: Project, name: str, then: str) -> None:
    """Refuse a copy of a project at a commit whose lock file is not up to date.

    Args:
        there: the copy.
        name: of the commit, for the message.
        then: what to do after committing the file.

    Raises:
        GaiaflowError: the lock file is missing or does not match, or can't be made.
    """
    there.environment.lock()
    if source.is_dirty(there.root):
        raise GaiaflowError(
            f"The lock file of {name} does not match its pyproject.toml: the image would have "
            "other packages than were tested.\nUpdate it (python3 mlops_manager.py deps), "
            f"commit it, and {then}."
        )


def project_at(folder: Path, project: Project, name: str, image: str) -> Project:
    """A project in another folder, with the settings of this machine.

    Args:
        folder: a copy of the project at another commit.
        project: the project here.
        name: begins the names of its images; those that the services here use stay as they are.
        image: the name of the project's own image.
    """
    identity = read_identity(folder)
    names = {"COMPOSE_PROJECT_NAME": name, "PACKAGE_IMAGE": image}
    env = {**project.env, **settings.repeated(identity), **names}
    return replace(project, root=folder, identity=identity, env=env)
