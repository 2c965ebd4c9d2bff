"""The map of products as a container, whose image is built when it is first opened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.stack.test_services import ask, log_in

from .conftest import Project, assert_confined, containers_of, name_of


@pytest.fixture(scope="module")
def maps(containers: Project, engine: docker.DockerClient) -> Iterator[Project]:
    """The project with its map open; stopped at the end."""
    assert not engine.images.list(name=f"{name_of(containers)}-maps")
    assert "maps" not in containers.status()
    opened = containers.manage("open", "maps", BROWSER="true")
    assert opened.code == 0, opened
    yield containers
    stopped = containers.manage("stop", "--service", "maps")
    assert stopped.code == 0, stopped
    assert "maps" not in containers_of(engine, containers)


def get(project: Project, path: str) -> Any:
    code, body = ask(project.url("MAPS_PORT") + path, **log_in(project))
    assert code == 200, (path, code, body)
    return json.loads(body)


def test_it_is_as_safe_as_the_others(maps: Project, engine: docker.DockerClient) -> None:
    assert_confined(containers_of(engine, maps)["maps"], maps.env["MAPS_PORT"])
    assert ask(maps.url("MAPS_PORT") + "/")[0] == 401


def test_it_shows_the_product_of_a_run(maps: Project, run: Any) -> None:
    assert run["state"] == "success"
    listed = {found["id"]: found for found in get(maps, "/api/collections")["collections"]}
    item = listed["landcover"]["items"][-1]["id"]
    layers = get(maps, f"/api/collections/landcover/items/{item}")["layers"]
    assert [layer["id"] for layer in layers] == ["map", "true-color", "false-color", "values"]
    for layer in ("map", "true-color"):
        tile = f"/layers/landcover/{item}/{layer}/0/0/0.png"
        code, body = ask(maps.url("MAPS_PORT") + tile, **log_in(maps))
        assert (code, body[:4]) == (200, b"\x89PNG")


def test_a_start_of_all_leaves_it(maps: Project, engine: docker.DockerClient) -> None:
    before = containers_of(engine, maps)["maps"].id
    assert maps.manage("start", "--backend", "compose").code == 0
    assert containers_of(engine, maps)["maps"].id == before
    assert maps.status()["maps"]["state"] == "healthy"
