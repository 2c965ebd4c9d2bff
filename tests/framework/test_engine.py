"""Docker Compose reads `.env`, and not a person's shell."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from plumbum import local

from gaiaflow.backends import engine
from gaiaflow.project.project import prepare

from .conftest import TEMPLATE


@pytest.mark.skipif(not shutil.which("docker"), reason="there is no docker here")
def test_only_the_settings_file_decides(project_root: Path) -> None:
    for name in ("docker-compose.yml", "dockerfiles", "gaiaflow"):
        (project_root / name).symlink_to(TEMPLATE / name)
    project = prepare(project_root).replaced({"TASK_MEMORY": "3g"})
    names = ("POSTGRES_IMAGE", "SEAWEEDFS_IMAGE", "TASK_MEMORY", "AIRFLOW_USER")
    with local.env(**dict.fromkeys(names, "foreign")):
        config = json.loads(engine.run(engine.compose(project, "config", "--format", "json")))
    assert "foreign" not in json.dumps(config)
    assert config["services"]["postgres"]["image"].startswith("postgres:")
    assert config["services"]["jupyterlab"]["mem_limit"] == str(3 * 1024**3)
