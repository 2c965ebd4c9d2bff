"""`copier copy` with setup=start and backend=compose: from nothing to a green run in containers."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Generate, Start, execute, states


def test_the_services_come_up_as_containers(new_project: Start) -> None:
    project = new_project("Started", setup="start", backend="compose", package_name="started")
    assert set(states(project).values()) == {"healthy"}
    assert {item["pid"] for item in project.status().values()} == {None}
    runs = project.manage("run", "landcover", "--json").json()
    assert runs["state"] == "success"
    assert project.manage("stop").code == 0


def test_without_an_engine_the_project_is_there(
    generate: Generate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure tells how to go on, and nothing is taken back."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    project, done = generate("No engine", setup="start", backend="compose")
    assert "Docker does not answer" in done.err
    assert "python3 mlops_manager.py start --backend compose" in done.err
    assert "python3 mlops_manager.py run landcover" in done.err
    assert (project.root / ".env").is_file()
    log = execute("git", "log", "--oneline", cwd=project.root)
    assert len(log.out.splitlines()) == 1
