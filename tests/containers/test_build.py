"""The project's own image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from .conftest import Project, execute


@pytest.fixture(scope="module")
def image(containers: Project, engine: docker.DockerClient) -> Iterator[str]:
    done = containers.manage("build")
    assert done.code == 0, done
    name = done.out.strip()
    assert containers.manage("image").out.strip() == name
    yield name
    engine.images.remove(name, force=True)


def test_its_name_is_package_and_version(image: str) -> None:
    assert image == "forest-watch:0.1.0"


def test_a_function_runs_in_it(
    image: str, containers: Project, engine: docker.DockerClient
) -> None:
    options: dict[str, Any] = {"remove": True, "cap_drop": ["ALL"], "read_only": True}
    who = ("python", "-c", "import os, forest_watch, mlflow; print(os.getuid(), os.getgid())")
    assert engine.containers.run(image, list(who), **options).split() == [b"50000", b"0"]

    load = ("python", "-m", "gaiaflow.runner", "forest_watch.model.classes:_none")
    done = execute("docker", "run", "--rm", image, *load, cwd=containers.root)
    assert done.code == 65, done  # no retry can help
    assert "has no function '_none'" in done.out + done.err


@pytest.mark.slow
def test_a_model_is_served_from_it(image: str, containers: Project) -> None:
    """The last step of a project's CI."""
    smoke = ("python", "-m", "gaiaflow.smoke")
    done = execute("docker", "run", "--rm", image, *smoke, cwd=containers.root)
    assert done.code == 0, done
    assert "The served model answers: Urban" in done.out


def test_there_are_no_secrets_and_no_tools_in_it(
    image: str, containers: Project, engine: docker.DockerClient
) -> None:
    look = "import importlib.util, json, os; print(json.dumps([sorted(os.listdir('/opt/project')), "
    look += "[m for m in ('jupyterlab', 'pytest', 'uv') if importlib.util.find_spec(m)]]))"
    listed = json.loads(engine.containers.run(image, ["python", "-c", look], remove=True))
    assert listed == [["forest_watch", "gaiaflow", "mlops_manager.py", "pyproject.toml"], []]
    history = json.dumps(engine.images.get(image).history())
    secrets = [value for value in containers.env.values() if len(value) >= 20]
    assert not [secret for secret in secrets if secret in history]


def layers(engine: docker.DockerClient, image: str) -> list[str]:
    return list(engine.images.get(image).attrs["RootFS"]["Layers"])


def test_a_change_of_code_is_a_small_layer(
    image: str, containers: Project, engine: docker.DockerClient
) -> None:
    before = layers(engine, image)
    file = containers.root / "forest_watch" / "utils" / "s3.py"
    text = file.read_text(encoding="utf-8")
    file.write_text(text + "\nCHANGED = True\n", encoding="utf-8")
    try:
        assert containers.manage("build").code == 0
        after = layers(engine, image)
        new = len([layer for layer in after if layer not in before])
        sizes = [step["Size"] for step in engine.images.get(image).history() if step["Size"]]
        check = ["python", "-c", "from forest_watch.utils.s3 import CHANGED"]
        engine.containers.run(image, check, remove=True)
    finally:
        file.write_text(text, encoding="utf-8")
    assert 0 < new <= 2
    assert sum(sizes[:new]) < 500_000  # bytes; the environment has a thousand times that


def test_another_name(containers: Project, engine: docker.DockerClient) -> None:
    text = containers.env_file.read_text(encoding="utf-8")
    containers.env_file.write_text(text + "PACKAGE_IMAGE=example.org/eo/forest:7\n", "utf-8")
    try:
        assert containers.manage("image").out.strip() == "example.org/eo/forest:7"
    finally:
        containers.env_file.write_text(text, encoding="utf-8")


@pytest.mark.slow
def test_an_archive_is_mapped_in_containers_of_it(image: str, containers: Project) -> None:
    """Mode dev_docker: each scene of the sample archive in a container of its own."""
    before = containers.env_file.read_text(encoding="utf-8")
    assert "GAIAFLOW_MODE=dev\n" in before
    changed = before.replace("GAIAFLOW_MODE=dev\n", "GAIAFLOW_MODE=dev_docker\n")
    containers.env_file.write_text(changed, encoding="utf-8")
    try:
        assert containers.manage("restart").code == 0
        assert containers.manage("run", "landcover").code == 0
        run = containers.manage("run", "landcover_batch", "--json").json()
        states = [task["state"] for task in run["tasks"] if task["task_id"] == "map_scene"]
        assert states == ["success"] * 4
        listed = containers.manage("ls", "products/landcover/items/", "--json").json()
        assert len([entry for entry in listed if "/sample-1-" in entry["key"]]) == 1
    finally:
        containers.env_file.write_text(before, encoding="utf-8")
        assert containers.manage("restart").code == 0
