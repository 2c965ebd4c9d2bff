"""After a change of the dependencies: the running stack gets them, and goes on running."""

from __future__ import annotations

import docker

from .conftest import Project, containers_of, exec_in

IMPORT = ("/opt/env/venv/bin/python", "-c", "import cowsay")


def test_new_dependencies_reach_running_services(
    environment: Project, engine: docker.DockerClient
) -> None:
    before = containers_of(engine, environment)
    assert exec_in(before["airflow-scheduler"], *IMPORT)[0] != 0
    pyproject = environment.root / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")
    pyproject.write_text(text.replace('    "boto3', '    "cowsay==6.1",\n    "boto3'), "utf-8")

    done = environment.manage("deps")
    assert done.code == 0, done

    after = containers_of(engine, environment)
    for name in ("airflow-scheduler", "jupyterlab"):
        code, said = exec_in(after[name], *IMPORT)
        assert code == 0, said
    for name, container in before.items():
        if container.status == "running":  # and none was restarted
            assert after[name].attrs["State"]["StartedAt"] == container.attrs["State"]["StartedAt"]
    assert 'name = "cowsay"' in (environment.root / "uv.lock").read_text(encoding="utf-8")


def test_dependencies_that_cannot_be_had(environment: Project) -> None:
    pyproject = environment.root / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")
    pyproject.write_text(text.replace('    "boto3', '    "cowsay==0.0.99",\n    "boto3'), "utf-8")
    try:
        done = environment.manage("deps")
    finally:
        pyproject.write_text(text, encoding="utf-8")
    assert done.code == 1
    assert "cowsay" in done.err
    assert "Traceback" not in done.err
