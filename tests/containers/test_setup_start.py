"""`copier copy` with setup=start and backend=compose: from nothing to a green run in containers.

With minikube=true, it goes on to a cluster; here that is a double of minikube, and one of the API.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.kubernetes import HERE as DOUBLES
from tests.kubernetes import running_double

from .conftest import Generate, Project, Start, containers_of, execute, states


@pytest.fixture
def cluster(containers: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The double of a cluster, as programs find it; what it was told is in this folder."""
    python = containers.root / ".gaiaflow" / "airflow" / "bin" / "python"
    with running_double(python, tmp_path):
        config = json.loads((tmp_path / "kubeconfig.json").read_text(encoding="utf-8"))
        monkeypatch.setenv("MINIKUBE_DOUBLE_API", config["clusters"][0]["cluster"]["server"])
        monkeypatch.setenv("MINIKUBE_DOUBLE", str(tmp_path))
        monkeypatch.setenv("MINIKUBE_DOUBLE_NETWORK", "yes")
        monkeypatch.setenv("PATH", f"{DOUBLES}{os.pathsep}{os.environ['PATH']}")
        yield tmp_path


@pytest.mark.slow
def test_services_as_containers_and_a_cluster(
    new_project: Start, engine: docker.DockerClient, cluster: Path
) -> None:
    answers = {"setup": "start", "backend": "compose", "kubernetes": "true", "minikube": "true"}
    project = new_project("Started", package_name="started", **answers)
    assert set(states(project).values()) == {"healthy"}
    assert {item["pid"] for item in project.status().values()} == {None}

    config = project.root / "kube_config_inline"
    assert config.stat().st_mode & 0o777 == 0o600
    manager = project.root / "minikube_manager.py"
    shown = execute(sys.executable, manager, "status", "--json", cwd=project.root).json()
    assert [node["host"] for node in shown["nodes"]] == ["Running"]

    # Pods find the two servers where these have joined the cluster's network.
    network = shown["profile"]
    ours = containers_of(engine, project)
    joined = {
        name: found.attrs["NetworkSettings"]["Networks"][network]["IPAddress"]
        for name, found in ours.items()
        if network in found.attrs["NetworkSettings"]["Networks"]
    }
    assert joined.keys() == {"mlflow", "object-store", "airflow-scheduler"}
    for server in ("mlflow", "object-store"):
        assert known_address(cluster, server) == joined[server]

    built = execute(sys.executable, manager, "build", cwd=project.root)
    assert (built.code, built.out.strip()) == (0, "started:0.1.0"), built
    calls = [json.loads(line) for line in (cluster / "calls").read_text().splitlines()]
    assert ["image", "load", "--overwrite=true", "started:0.1.0"] in [call[2:] for call in calls]
    engine.images.remove("started:0.1.0", force=True)

    assert execute(sys.executable, manager, "clean", cwd=project.root).code == 0
    assert not config.exists()
    assert project.manage("stop").code == 0


def known_address(cluster: Path, server: str) -> str:
    """Where the cluster sends pods that ask for a server."""
    config = json.loads((cluster / "kubeconfig.json").read_text(encoding="utf-8"))
    address = config["clusters"][0]["cluster"]["server"]
    path = f"apis/discovery.k8s.io/v1/namespaces/default/endpointslices/{server}"
    token = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
    with urllib.request.urlopen(urllib.request.Request(f"{address}/{path}", headers=token)) as told:
        return str(json.load(told)["endpoints"][0]["addresses"][0])


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
