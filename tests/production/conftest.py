"""A real Airflow of a team with two projects; only its cluster is a double.

The pods of that double run nothing (tests/kubernetes/simulated.py): they show which image and
arguments each task would have got. What pods do is tested in tests/stack/test_modes.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.kubernetes import running_double
from tests.stack.conftest import Generate, generate, uv  # noqa: F401
from tests.stack.test_modes import SERVICE_ACCOUNT

from .team import Repository, TeamAirflow, make_environment

HERE = Path(__file__).resolve().parent
IMAGES = [f"ghcr.io/team/forest@sha256:{digit * 64}" for digit in "123"]
DAG = """
from pathlib import Path

from airflow.sdk import DAG

import gaiaflow
from gaiaflow import create_task

FRAMEWORK = str(Path(gaiaflow.__file__).parents[1])

with DAG("{name}", schedule=None):
    first = create_task("first", "{name}.maps:draw", {{"code": "{code}", "framework": FRAMEWORK}})
    second = create_task("second", "{name}.maps:draw", {{"code": "{code}", "first": first.output}})
"""
REFRESH = 3  # seconds between two looks at a branch


@dataclass(frozen=True)
class Team:
    """Its Airflow, its repositories, and the folder of its cluster's double."""

    airflow: TeamAirflow
    repositories: dict[str, Repository]
    cluster: Path


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group("production"))


@pytest.fixture(scope="session")
def team(uv: str, generate: Generate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:  # noqa: F811
    if os.geteuid() or SERVICE_ACCOUNT.exists():
        pytest.skip(f"needs to be root to write {SERVICE_ACCOUNT}, which must not be there")
    folder = tmp_path_factory.mktemp("team")
    lock = ROOT / "template" / "gaiaflow" / "locks" / "production.txt"
    environment = make_environment(uv, lock, folder / "environment")
    python = environment / "bin" / "python"
    cluster, home = folder / "cluster", folder / "airflow"
    for new in (cluster, home):
        new.mkdir()
    repositories = {}
    for name in ("forest", "coast"):
        project, _ = generate(name, package_name=name, show_examples="false")
        repositories[name] = Repository(name, project.root, folder, python)
        repositories[name].write_dag(DAG.format(name=name, code="1"))
    bundles = [
        {
            "name": name,
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": {
                "repo_url": str(folder / f"{name}.git"),
                "tracking_ref": "deploy/prod",
                "refresh_interval": REFRESH,
            },
        }
        for name in repositories
    ]
    with running_double(python, cluster, "simulated.py"):
        SERVICE_ACCOUNT.parent.mkdir(parents=True, exist_ok=True)
        SERVICE_ACCOUNT.symlink_to(cluster / "serviceaccount")
        settings = {
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": (cluster / "serviceaccount" / "port").read_text(),
            "GAIAFLOW_MODE": "prod",
            "GAIAFLOW_IMAGE": "of-no-commit",
            "MLFLOW_TRACKING_URI": "http://mlflow:5000",
        }
        airflow = TeamAirflow(home, environment, settings)
        try:
            for repository, image in zip(repositories.values(), IMAGES[:2], strict=True):
                repository.release("v1", image)
            with airflow.running():
                yield Team(airflow, repositories, cluster)
        finally:
            SERVICE_ACCOUNT.unlink(missing_ok=True)
