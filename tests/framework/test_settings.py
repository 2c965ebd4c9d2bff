"""A project's identity and settings: what is missing or wrong is named."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaiaflow.project import envfile, settings
from gaiaflow.project.clients import client_env, connect
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import Identity
from gaiaflow.project.project import find_root, load, prepare

from .conftest import TEMPLATE

IDENTITY = Identity("forest_watch", "uv", "seaweedfs")
# Made on the user's machine, but known to everybody there.
OF_THE_PERSON = {"CONTAINER_UID", "MLFLOW_TRACKING_USERNAME"}
PUBLIC = {"COMPOSE_PROJECT_NAME", *OF_THE_PERSON}


def test_the_example_explains_the_settings_as_they_are() -> None:
    example = (TEMPLATE / ".env.example").read_text(encoding="utf-8")
    assert example == settings.env_text()


def test_a_fresh_clone_gets_settings_of_its_own(project_root: Path) -> None:
    project = prepare(project_root)
    file = project_root / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert project.env == envfile.read(file)
    assert set(project.env) == {setting.name for setting in settings.SETTINGS}
    empty = {name for name, value in project.env.items() if not value}
    assert empty < {setting.name for setting in settings.SETTINGS if setting.optional}
    assert prepare(project_root).env == project.env  # made once


def test_loading_changes_nothing(project_root: Path) -> None:
    with pytest.raises(GaiaflowError, match=r"There is no \.env.*\n.*mlops_manager.py start"):
        load(project_root)
    assert not (project_root / ".env").exists()
    prepare(project_root)
    envfile.update(project_root / ".env", {"OBJECT_STORE": "minio"})
    before = (project_root / ".env").read_bytes()
    assert load(project_root).env["OBJECT_STORE"] == "seaweedfs"  # as pyproject.toml says
    assert (project_root / ".env").read_bytes() == before


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


@pytest.mark.parametrize("name", [one.name for one in settings.SETTINGS if not one.optional])
@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_missing_setting_is_named(project_root: Path, name: str, how: str) -> None:
    text = settings.env_text(IDENTITY)
    line = "" if how == "gone" else f"{name}=\n"
    envfile.write(project_root / ".env", re.sub(rf"(?m)^{name}=.*\n", line, text))
    with pytest.raises(GaiaflowError, match=rf"\.env lacks {name}\.\n.*\.env\.example"):
        prepare(project_root)


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("", []),
        ("ntfys://ntfy.sh/topic", ["ntfys://ntfy.sh/topic"]),
        (" json://a/b?x=1,2,\nslack://c ", ["json://a/b?x=1,2", "slack://c"]),
        (
            "mailto://me:pass@host?to=a@b,c@d json://e",
            ["mailto://me:pass@host?to=a@b,c@d", "json://e"],
        ),
    ],
)
def test_urls_of_people(text: str, urls: list[str]) -> None:
    assert settings.notify_urls(text) == urls


def test_a_bad_url_is_named_by_its_place(project_root: Path) -> None:
    text = settings.env_text(IDENTITY).replace("NOTIFY_URLS=", "NOTIFY_URLS=json://a s3cr3t-token")
    envfile.write(project_root / ".env", text)
    with pytest.raises(GaiaflowError, match="NOTIFY_URLS: number 2 is not a URL such as") as caught:
        prepare(project_root)
    assert "s3cr3t" not in str(caught.value)


def test_a_project_from_before_a_setting_was_optional(project_root: Path) -> None:
    text = settings.env_text(IDENTITY).replace("NOTIFY_URLS=\n", "")
    envfile.write(project_root / ".env", text)
    assert "NOTIFY_URLS" not in prepare(project_root).env


def test_compose_is_told_what_pyproject_says(project_root: Path) -> None:
    assert prepare(project_root).env["OBJECT_STORE"] == "seaweedfs"
    pyproject = project_root / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8").replace("seaweedfs", "rustfs")
    pyproject.write_text(text, encoding="utf-8")
    assert prepare(project_root).env["OBJECT_STORE"] == "rustfs"
    assert envfile.read(project_root / ".env")["OBJECT_STORE"] == "rustfs"


def test_the_package_may_lie_in_src(project_root: Path) -> None:
    project = prepare(project_root)
    assert project.source == project.identity.package
    (project_root / "src" / project.identity.package).mkdir(parents=True)
    assert project.source == "src"
    (project_root / project.identity.package).mkdir()
    assert project.source == project.identity.package


def test_containers_never_run_as_root(project_root: Path) -> None:
    assert prepare(project_root).env["CONTAINER_UID"] == str(os.getuid() or 50000)


@pytest.mark.parametrize("name", settings.PORTS)
@pytest.mark.parametrize("port", ["x", "80", "0", "-8080", "55532", "99999", "8080.5", "８０８０"])
def test_a_bad_port_is_named(project_root: Path, name: str, port: str) -> None:
    prepare(project_root)
    envfile.update(project_root / ".env", {name: port})
    with pytest.raises(GaiaflowError, match=rf"\.env: {name} must be a whole number from 1024"):
        prepare(project_root)


@given(st.integers(1024, 55531))
def test_good_ports_are_taken(project_root: Path, port: int) -> None:
    prepare(project_root)
    envfile.update(project_root / ".env", {"MLFLOW_PORT": str(port)})
    project = prepare(project_root)
    assert (project.port("MLFLOW_PORT"), project.url("MLFLOW_PORT")) == (
        port,
        f"http://127.0.0.1:{port}",
    )


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("MLFLOW_PORT", "8080", "AIRFLOW_PORT and MLFLOW_PORT both take port 8080"),
        ("OBJECT_STORE_PORT", "8079", "AIRFLOW_PORT and OBJECT_STORE_PORT both take port 8080"),
        ("GAIAFLOW_MODE", "production", "GAIAFLOW_MODE must be one of: dev"),
        ("GAIAFLOW_BACKEND", "podman", "GAIAFLOW_BACKEND must be one of: auto, local, compose"),
        ("PARALLEL_TASKS", "0", "PARALLEL_TASKS must be a whole number from 1 to 999"),
        ("PARALLEL_TASKS", "all", "PARALLEL_TASKS must be a whole number from 1 to 999"),
        ("S3_BUCKET", "My_Bucket", "S3_BUCKET must be 3 to 63 lower-case letters"),
        ("S3_BUCKET", "b", "S3_BUCKET must be 3 to 63 lower-case letters"),
    ],
)
def test_a_bad_value_is_named(project_root: Path, name: str, value: str, says: str) -> None:
    prepare(project_root)
    envfile.update(project_root / ".env", {name: value})
    with pytest.raises(GaiaflowError) as caught:
        prepare(project_root)
    assert str(caught.value).startswith(f".env: {says}")


def test_a_lost_identity_is_named(project_root: Path) -> None:
    file = project_root / "pyproject.toml"
    file.write_text('[tool.gaiaflow]\npackage = "forest_watch"\n', encoding="utf-8")
    with pytest.raises(GaiaflowError, match="lacks environment_manager, object_store in"):
        prepare(project_root)
    file.write_text("[tool.gaiaflow\n", encoding="utf-8")
    with pytest.raises(GaiaflowError, match=r"pyproject.toml cannot be read: .*line 1"):
        prepare(project_root)
    file.unlink()
    with pytest.raises(GaiaflowError, match="is missing: restore it from git"):
        prepare(project_root)


def test_the_project_is_found_from_below(project_root: Path) -> None:
    below = project_root / "notebooks" / "deep"
    below.mkdir(parents=True)
    assert find_root(below) == project_root
    with pytest.raises(GaiaflowError, match="is not in a Gaiaflow project"):
        find_root(project_root.parent)


def test_connect_points_clients_at_the_project(
    project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"AWS_PROFILE": "another-account", "HOME": "/"})
    project = prepare(project_root)
    connect(project_root)
    wanted = client_env(project)
    assert os.environ == {"HOME": "/", **wanted}
    assert wanted["AWS_ENDPOINT_URL"] == project.url("OBJECT_STORE_PORT")
    assert f"http://{wanted['AWS_S3_ENDPOINT']}" == wanted["AWS_ENDPOINT_URL"]  # for GDAL
    assert wanted["MLFLOW_TRACKING_URI"] == project.url("MLFLOW_PORT")
    assert wanted["MLFLOW_EXPERIMENT_NAME"] == "forest_watch"
    assert wanted["MLFLOW_TRACKING_PASSWORD"] == project.env["MLFLOW_TRACKING_PASSWORD"]


def test_connect_leaves_a_task_alone(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"GAIAFLOW_TASK": "train"})
    connect(project_root)
    assert os.environ == {"GAIAFLOW_TASK": "train"}
