"""A service of one's own as a container, from the same file as a process."""

from __future__ import annotations

import json
from collections.abc import Iterator

import docker
import pytest

from tests.stack.test_services import ask, log_in

from .conftest import Project, assert_confined, containers_of


@pytest.fixture(scope="module")
def board(containers: Project) -> Iterator[Project]:
    """The project with a service that `new` has made."""
    done = containers.manage("new", "service", "board")
    assert done.code == 0, done
    started = containers.manage("start", "--backend", "compose", "--service", "board")
    assert started.code == 0, started
    yield containers
    stopped = containers.manage("stop", "--service", "board")
    assert stopped.code == 0, stopped
    assert containers.manage("remove", "service", "board").code == 0
    assert "board" not in containers.status()


def test_it_runs_beside_the_others(board: Project, engine: docker.DockerClient) -> None:
    assert board.status()["board"]["state"] == "healthy"
    assert ask(board.url("SERVICES_PORT") + "/")[0] == 401
    code, body = ask(board.url("SERVICES_PORT") + "/", **log_in(board))
    assert code == 200 and b"<h1>Folders</h1>" in body
    assert_confined(containers_of(engine, board)["board"], board.env["SERVICES_PORT"])


def test_its_part_of_compose_has_no_secret(board: Project) -> None:
    text = (board.root / ".gaiaflow" / "own-services.json").read_text(encoding="utf-8")
    assert list(json.loads(text)["services"]) == ["board"]
    assert board.env["AWS_SECRET_ACCESS_KEY"] not in text


def test_an_edit_counts_after_a_restart(board: Project) -> None:
    file = board.root / "services" / "board.py"
    before = file.read_text(encoding="utf-8")
    file.write_text(before.replace("Folders", "Everything"), encoding="utf-8")
    try:
        restarted = board.manage("restart", "--service", "board")
        assert restarted.code == 0, restarted
        code, body = ask(board.url("SERVICES_PORT") + "/", **log_in(board))
        assert code == 200 and b"<h1>Everything</h1>" in body
    finally:
        file.write_text(before, encoding="utf-8")
