"""The images of a release get to a registry by the steps of GitHub's workflow.

The registry is a real one, from Debian's package docker-registry.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError

import docker
import pytest

from tests.workflows import Workflow

from .conftest import Project, execute, free_block, name_of, person, wait_for

TAG = "v7.0.0"
USER, PASSWORD = "forester", "secret"
HASH = "$2b$04$v9sfE3h5NSywSm2KqZXg8.4kUgDIyDdAHcEFCTKa1zpmUm9KAYfDO"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of an empty registry, which asks for a password."""
    program = shutil.which("docker-registry")
    if not program:
        pytest.skip("there is no docker-registry (Debian has a package)")
    address = f"127.0.0.1:{free_block()}"
    config = tmp_path / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {tmp_path}/objects}}}}"
    users = tmp_path / "users"
    users.write_text(f"{USER}:{HASH}\n", encoding="utf-8")
    auth = f'auth: {{htpasswd: {{realm: eo, path: "{users}"}}}}'
    http = f'http: {{addr: "{address}"}}'
    config.write_text(f"version: 0.1\n{storage}\n{auth}\n{http}\n", encoding="utf-8")
    with (tmp_path / "registry.log").open("w") as log:
        process = subprocess.Popen([program, "serve", config], stdout=log, stderr=log)
    try:
        wait_for(lambda: status(f"http://{address}/v2/") == 200)
        yield address
    finally:
        process.terminate()
        process.wait()


def status(url: str) -> int:
    known = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    headers = {
        "Accept": "application/vnd.docker.distribution.manifest.v2+json, */*",
        "Authorization": f"Basic {known}",
    }
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except URLError as error:
        return int(getattr(error, "code", 0))


@pytest.fixture
def tagged(containers: Project, registry: str) -> Iterator[str]:
    """The commit of a tag. Where its images go is only in the working tree."""

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=me", "-c", "user.email=me@localhost")
        done = execute("git", *who, *arguments, cwd=containers.root)
        assert done.code == 0, done
        return done.out.strip()

    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", TAG)
    git("tag", TAG)
    declared = containers.root / "pyproject.toml"
    before = declared.read_text(encoding="utf-8")
    setting = f'\n[tool.gaiaflow.release]\nimage = "{registry}/eo/forest"\n'
    declared.write_text(before + setting, encoding="utf-8")
    yield git("rev-parse", "HEAD")
    declared.write_text(before, encoding="utf-8")
    git("tag", "--delete", TAG)


def read_outputs(path: Path) -> dict[str, str]:
    """What steps have written for later ones."""
    found = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: value for name, _, value in found}


@pytest.mark.slow
def test_both_images_are_pushed(
    containers: Project, engine: docker.DockerClient, registry: str, tagged: str, tmp_path: Path
) -> None:
    used = engine.images.get(f"{name_of(containers)}-airflow").id
    output = tmp_path / "output"
    workflow = Workflow("github", TAG, tmp_path / "bin")
    known: dict[str, str | Callable[[], str]] = {
        "vars.REGISTRY || 'ghcr.io'": registry,
        "vars.REGISTRY_USER || github.actor": USER,
        "secrets.REGISTRY_TOKEN || github.token": PASSWORD,
        "steps.publish.outputs.image": lambda: read_outputs(output)["image"],
    }
    machine = {"GITHUB_OUTPUT": str(output), "DOCKER_CONFIG": str(tmp_path / "docker")}
    workflow.run("publish", containers.root, known, person(**machine))
    said = json.loads((containers.root / "release.json").read_text(encoding="utf-8"))
    (containers.root / "release.json").unlink()
    assert (said["tag"], said["commit"]) == (TAG, tagged)
    images = json.loads(read_outputs(output)["images"])
    assert images == [said["image"], said["airflow_image"]]
    log_in = {"username": USER, "password": PASSWORD}
    for name, repository in (("image", "eo/forest"), ("airflow_image", "eo/forest-airflow")):
        where, _, digest = said[name].partition("@")
        assert where == f"{registry}/{repository}"
        assert status(f"http://{registry}/v2/{repository}/manifests/{digest}") == 200
        engine.images.remove(f"{where}:{TAG}")
        engine.images.pull(said[name], auth_config=log_in)
    show = ["python", "-c", "import os, forest_watch; print(os.environ['GAIAFLOW_COMMIT'])"]
    assert engine.containers.run(said["image"], show, remove=True).decode().strip() == tagged
    # The services here go on with their own image, and nothing else is left.
    assert engine.images.get(f"{name_of(containers)}-airflow").id == used
    assert not list(Path(containers.root, ".gaiaflow").glob("release-*"))
    assert len(execute("git", "worktree", "list", cwd=containers.root).out.splitlines()) == 1
    for name in ("image", "airflow_image"):
        engine.images.remove(said[name])
    assert not engine.images.list(name=f"{name_of(containers)}-release-airflow")
