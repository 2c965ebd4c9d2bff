"""A project's identity and settings: what is missing or wrong is named."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaiaflow import envfile, settings
from gaiaflow.errors import GaiaflowError

from .conftest import TEMPLATE

IDENTITY = settings.Identity("forest_watch", "uv", "seaweedfs")
# Made on the user's machine, but known to everybody there.
OF_THE_PERSON = {"CONTAINER_UID", "MLFLOW_TRACKING_USERNAME"}
PUBLIC = {"COMPOSE_PROJECT_NAME", *OF_THE_PERSON}


def test_the_example_explains_the_settings_as_they_are() -> None:
    example = (TEMPLATE / ".env.example").read_text(encoding="utf-8")
    assert example == settings.env_text()


def test_a_fresh_clone_gets_settings_of_its_own(project_root: Path) -> None:
    project = settings.load(project_root)
    file = project_root / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert project.env == envfile.read(file)
    assert set(project.env) == {setting.name for setting in settings.SETTINGS}
    assert all(project.env.values())
    assert settings.load(project_root).env == project.env  # made once


def test_no_two_projects_share_a_secret(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        envfile.write(tmp_path / name, settings.env_text(IDENTITY))
        made.append(envfile.read(tmp_path / name))
    for setting in settings.SETTINGS:
        same = made[0][setting.name] == made[1][setting.name]
        assert same == (setting.make is None or setting.name in OF_THE_PERSON), setting.name
    names = {setting.name for setting in settings.SETTINGS if setting.make} - PUBLIC
    secrets = [made[0][name] for name in names]
    assert len(set(secrets)) == len(secrets)
    assert all(len(secret) >= 16 for secret in secrets)


@pytest.mark.parametrize("name", [setting.name for setting in settings.SETTINGS])
@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_missing_setting_is_named(project_root: Path, name: str, how: str) -> None:
    text = settings.env_text(IDENTITY)
    line = "" if how == "gone" else f"{name}=\n"
    envfile.write(project_root / ".env", re.sub(rf"(?m)^{name}=.*\n", line, text))
    with pytest.raises(GaiaflowError, match=rf"\.env lacks {name}\.\n.*\.env\.example"):
        settings.load(project_root)


def test_compose_is_told_what_pyproject_says(project_root: Path) -> None:
    assert settings.load(project_root).env["OBJECT_STORE"] == "seaweedfs"
    pyproject = project_root / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8").replace("seaweedfs", "rustfs")
    pyproject.write_text(text, encoding="utf-8")
    assert settings.load(project_root).env["OBJECT_STORE"] == "rustfs"
    assert envfile.read(project_root / ".env")["OBJECT_STORE"] == "rustfs"


def test_the_package_may_lie_in_src(project_root: Path) -> None:
    project = settings.load(project_root)
    assert project.source == project.package
    (project_root / "src" / project.package).mkdir(parents=True)
    assert project.source == "src"
    (project_root / project.package).mkdir()
    assert project.source == project.package


def test_containers_never_run_as_root(project_root: Path) -> None:
    assert settings.load(project_root).env["CONTAINER_UID"] == str(os.getuid() or 50000)


@pytest.mark.parametrize("name", settings.PORTS)
@pytest.mark.parametrize("port", ["x", "80", "0", "-8080", "55532", "99999", "8080.5", "８０８０"])
def test_a_bad_port_is_named(project_root: Path, name: str, port: str) -> None:
    settings.load(project_root)
    envfile.update(project_root / ".env", {name: port})
    with pytest.raises(GaiaflowError, match=rf"\.env: {name} must be a whole number from 1024"):
        settings.load(project_root)


@given(st.integers(1024, 55531))
def test_good_ports_are_taken(project_root: Path, port: int) -> None:
    settings.load(project_root)
    envfile.update(project_root / ".env", {"MLFLOW_PORT": str(port)})
    project = settings.load(project_root)
    assert (project.port("MLFLOW_PORT"), project.url("MLFLOW_PORT")) == (
        port,
        f"http://127.0.0.1:{port}",
    )


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("MLFLOW_PORT", "8080", "AIRFLOW_PORT and MLFLOW_PORT both take port 8080"),
        ("OBJECT_STORE_PORT", "8079", "AIRFLOW_PORT and OBJECT_STORE_PORT both take port 8080"),
        ("GAIAFLOW_MODE", "production", "GAIAFLOW_MODE can be: dev"),
        ("GAIAFLOW_BACKEND", "podman", "GAIAFLOW_BACKEND can be: auto, local, compose"),
        ("S3_BUCKET", "My_Bucket", "S3_BUCKET must be 3 to 63 lower-case letters"),
        ("S3_BUCKET", "b", "S3_BUCKET must be 3 to 63 lower-case letters"),
    ],
)
def test_a_bad_value_is_named(project_root: Path, name: str, value: str, says: str) -> None:
    settings.load(project_root)
    envfile.update(project_root / ".env", {name: value})
    with pytest.raises(GaiaflowError) as caught:
        settings.load(project_root)
    assert str(caught.value).startswith(f".env: {says}")


def test_a_lost_identity_is_named(project_root: Path) -> None:
    file = project_root / "pyproject.toml"
    file.write_text('[tool.gaiaflow]\npackage = "forest_watch"\n', encoding="utf-8")
    with pytest.raises(GaiaflowError, match="lacks environment_manager, object_store in"):
        settings.load(project_root)
    file.write_text("[tool.gaiaflow\n", encoding="utf-8")
    with pytest.raises(GaiaflowError, match=r"pyproject.toml cannot be read: .*line 1"):
        settings.load(project_root)
    file.unlink()
    with pytest.raises(GaiaflowError, match="is missing: git can bring it back"):
        settings.load(project_root)


def test_the_project_is_found_from_below(project_root: Path) -> None:
    below = project_root / "notebooks" / "deep"
    below.mkdir(parents=True)
    assert settings.find_root(below) == project_root
    with pytest.raises(GaiaflowError, match="is not in a Gaiaflow project"):
        settings.find_root(project_root.parent)


def test_connect_points_clients_at_the_project(
    project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"AWS_PROFILE": "another-account", "HOME": "/"})
    settings.connect(project_root)
    project = settings.load(project_root)
    wanted = settings.client_env(project)
    assert os.environ == {"HOME": "/", **wanted}
    assert wanted["AWS_ENDPOINT_URL"] == project.url("OBJECT_STORE_PORT")
    assert f"http://{wanted['AWS_S3_ENDPOINT']}" == wanted["AWS_ENDPOINT_URL"]  # for GDAL
    assert wanted["MLFLOW_TRACKING_URI"] == project.url("MLFLOW_PORT")
    assert wanted["MLFLOW_EXPERIMENT_NAME"] == "forest_watch"
    assert wanted["MLFLOW_TRACKING_PASSWORD"] == project.env["MLFLOW_TRACKING_PASSWORD"]


def test_connect_leaves_a_task_alone(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"GAIAFLOW_TASK": "train"})
    settings.connect(project_root)
    assert os.environ == {"GAIAFLOW_TASK": "train"}
