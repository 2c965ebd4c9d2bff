"""`clean --data` leaves the engine as it was, and everything of others alone."""

from __future__ import annotations

import docker

from .conftest import Inventory, Project, name_of


def test_clean(running: Project, engine: docker.DockerClient) -> None:
    name = name_of(running)
    foreign = engine.volumes.create("gaiaflow-test-foreign")
    try:
        before = Inventory(engine, name)
        assert all(before.own.values())

        done = running.manage("clean")
        assert done.code == 0, done
        kept = Inventory(engine, name)
        assert kept.own["containers"] == kept.own["networks"] == set()
        assert kept.own["volumes"] == before.own["volumes"]

        done = running.manage("clean", "--data")
        assert done.code == 0, done
        after = Inventory(engine, name)
        assert not any(after.own.values())
        assert after.lacks(before) == {}
        assert foreign.name in after.others["volumes"]
        assert not (running.root / ".gaiaflow" / "data").exists()
        assert (running.root / "uv.lock").exists()
    finally:
        foreign.remove()
