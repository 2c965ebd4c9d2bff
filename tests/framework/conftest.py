"""Projects in miniature: the framework's tests need no template and no services.

These modules import Airflow, so they run in the environment that the framework's lock describes.
tests/test_framework.py makes it and runs them there; any other pytest passes them over.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gaiaflow.project.project import Project

TEMPLATE = Path(__file__).resolve().parents[2] / "template"

if importlib.util.find_spec("airflow") is None or importlib.util.find_spec("gaiaflow") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    from hypothesis import HealthCheck, settings

    settings.register_profile(  # every example rewrites a function-scoped folder
        "framework", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    settings.load_profile("framework")

IDENTITY = """
[tool.gaiaflow]
package = "forest_watch"
environment_manager = "uv"
object_store = "seaweedfs"
kubernetes = false
"""

# Settings with a value of their own in each project that isn't secret.
PUBLIC = {"COMPOSE_PROJECT_NAME", "CONTAINER_UID", "MLFLOW_TRACKING_USERNAME"}


def secrets_of(project: Project) -> list[str]:
    """The values in a project's `.env` that nobody else may see."""
    from gaiaflow.project.settings import SETTINGS

    made = [setting.name for setting in SETTINGS if setting.make]
    return [project.env[name] for name in made if name not in PUBLIC]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a person's shell may have set for another project, or another engine."""
    from tests import hermetic

    engine = {name for name in os.environ if name.startswith("DOCKER_")}
    for name in (hermetic.foreign() | engine) - {"AIRFLOW_HOME"}:
        monkeypatch.delenv(name)
    for name, value in hermetic.direct().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def project_root(tmp_path: Path) -> Path:
    """The root of a project: what makes a folder one, and its identity."""
    root = tmp_path / "Wälder und Seen"
    root.mkdir()
    (root / "mlops_manager.py").touch()
    (root / "pyproject.toml").write_text(IDENTITY, encoding="utf-8")
    return root


@pytest.fixture
def bare_project(tmp_path: Path) -> Path:
    """A fresh clone of a project: no .env, no environments."""
    root = tmp_path / "Größere Wälder"
    root.mkdir()
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TEMPLATE / "gaiaflow", root / "gaiaflow", ignore=skip)
    shutil.copy(TEMPLATE / "mlops_manager.py", root)
    (root / "pyproject.toml").write_text(IDENTITY, encoding="utf-8")
    return root
