"""`clean --data` leaves the engine as it was, and everything of others alone."""

from __future__ import annotations

import docker

from .conftest import Inventory, Project, name_of


def test_clean(containers: Project, engine: docker.DockerClient) -> None:
    started = containers.manage("start", "--backend", "compose", "--service", "object-store")
    assert started.code == 0, started
    name = name_of(containers)
    foreign = engine.volumes.create("gaiaflow-test-foreign")
    try:
        before = Inventory(engine, name)
        assert all(before.own.values())

        done = containers.manage("clean")
        assert done.code == 0, done
        kept = Inventory(engine, name)
        assert kept.own["containers"] == kept.own["networks"] == set()
        assert kept.own["volumes"] == before.own["volumes"]

        done = containers.manage("clean", "--data", "--yes")
        assert done.code == 0, done
        after = Inventory(engine, name)
        assert not any(after.own.values())
        assert after.lacks(before) == {}
        assert foreign.name in after.others["volumes"]
        assert not (containers.root / ".gaiaflow" / "data").exists()
        assert (containers.root / "uv.lock").exists()
    finally:
        foreign.remove()
