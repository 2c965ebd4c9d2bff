"""Build the images of a release from its tag, and push them."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gaiaflow.backends import Notify, engine
from gaiaflow.backends.base import no_interrupts
from gaiaflow.backends.compose import ComposeBackend
from gaiaflow.project import settings, source
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import read_identity
from gaiaflow.project.project import Project
from gaiaflow.release import images
from gaiaflow.release.git import Git


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
    with contextlib.closing(engine.connect()) as client, checked_out(project, git, tag) as folder:
        there = _at(folder, project, f"{repository}:{label}")
        there.environment.lock()
        if source.is_dirty(folder):
            raise GaiaflowError(
                f"The lock file of {tag} does not match its pyproject.toml: the image would have "
                "other packages than were tested.\nUpdate it (python3 mlops_manager.py deps), "
                "commit it, and release again."
            )
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


@contextlib.contextmanager
def checked_out(project: Project, git: Git, tag: str) -> Iterator[Path]:
    """The project's folder as it is in a tag, in a worktree that is removed afterwards."""
    project.state.path.mkdir(exist_ok=True)
    # Not in /tmp: Docker may be unable to read that, or it may be too small.
    with tempfile.TemporaryDirectory(dir=project.state.path, prefix="release-") as parent:
        worktree = Path(parent, project.root.name)
        try:
            git.run("worktree", "add", "--quiet", "--detach", str(worktree), f"refs/tags/{tag}")
            yield worktree / git.prefix()
        finally:
            with no_interrupts():
                git.succeeds("worktree", "remove", "--force", str(worktree))


def _at(folder: Path, project: Project, image: str) -> Project:
    """A project in another folder, with the settings of this machine.

    Its images have names of their own: those that the services here use stay as they are.
    """
    identity = read_identity(folder)
    names = {
        "COMPOSE_PROJECT_NAME": f"{project.env['COMPOSE_PROJECT_NAME']}-release",
        "PACKAGE_IMAGE": image,
    }
    env = {**project.env, **settings.repeated(identity), **names}
    return replace(project, root=folder, identity=identity, env=env)
