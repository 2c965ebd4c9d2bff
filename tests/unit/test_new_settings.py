"""What an update adds to `.env`: a setting that is new, with a port beside the project's others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gaiaflow.project import envfile, settings
from gaiaflow.project.identity import Identity

from tasks.settings import update_env

ANSWERS = {"package_name": "forest_watch", "environment_manager": "uv", "object_store": "seaweedfs"}


@pytest.mark.parametrize(
    ("moved", "port"),
    [
        (0, 8090),
        (20, 8110),  # as `start` moves them: another project has 8090
        (46900, 54990),
        (47442, 8090),  # it would be beyond the last port
    ],
)
def test_a_new_port_lies_beside_the_others(tmp_path: Path, moved: int, port: int) -> None:
    path = tmp_path / ".env"
    text = settings.env_text(Identity(*ANSWERS.values()))
    text = re.sub(r"(?m)\n#.*\nSERVICES_PORT=.*\n", "", text)
    text = re.sub(r"(?m)^(\w+_PORT)=(\d+)$", lambda m: f"{m[1]}={int(m[2]) + moved}", text)
    path.write_text(text, encoding="utf-8")
    assert update_env(path, ANSWERS) == ["added: SERVICES_PORT"]
    env = envfile.read(path)
    settings.check(env)
    assert env["SERVICES_PORT"] == str(port)
    assert update_env(path, ANSWERS) == []


def test_a_port_that_is_no_number_moves_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("AIRFLOW_PORT=eight\n", encoding="utf-8")
    update_env(path, ANSWERS)
    assert envfile.read(path)["SERVICES_PORT"].isdigit()
