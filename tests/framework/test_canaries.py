"""Secrets stay where they are: no command shows one, and none gets into git."""

from __future__ import annotations

from pathlib import Path

import pytest
from plumbum import local

from gaiaflow.project import envfile
from gaiaflow.project.settings import SETTINGS

from .commands import manage
from .conftest import PUBLIC
from .releases import Ready

CANARY = "canary-9f3b"
IMAGE = f"registry.example.com/team/forest@sha256:{'1' * 64}"
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ready:
    """A project in which every secret is a canary: those of `.env`, of a stage and of the shell."""
    ready = Ready(tmp_path)
    file = ready.project.root / ".env"
    made = [setting.name for setting in SETTINGS if setting.make and setting.name not in PUBLIC]
    planted = {name: f"{CANARY}-{name}" for name in made}
    envfile.update(file, {**planted, "MLFLOW_PORT": "1024"})  # where nothing listens
    login = f"PROD_MLFLOW_TRACKING_USERNAME=me\nPROD_MLFLOW_TRACKING_PASSWORD={CANARY}\n"
    with file.open("a", encoding="utf-8") as lines:
        lines.write(f"ARCHIVE_PASSWORD={CANARY}\nNOTIFY={CANARY}\n")
        lines.write(f"{login}PROD_MLFLOW_TRACKING_URI=http://{NOWHERE}\n")
    for name in ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "PROD_MLFLOW_TRACKING_TOKEN"):
        monkeypatch.setenv(name, CANARY)
    return ready


def shown(ready: Ready, *command: str) -> str:
    done = manage(ready.root, *command)
    return f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"


def test_no_command_shows_a_secret_and_git_has_none(ready: Ready) -> None:
    said = [
        shown(ready, "release"),
        shown(ready, "deploy", "staging", "v1.2.0", "--image", IMAGE),
        shown(ready, "deploy", "prod"),
        shown(ready, "promote", "landcover", "1", "--to", "prod"),
        shown(ready, "models", "--in", "prod"),
    ]
    codes = [text.partition("\n")[0].rpartition(" ")[2] for text in said]
    assert codes == ["0", "0", "0", "1", "1"], said
    assert CANARY not in "".join(said)
    git = local["git"]["-C", str(ready.remote)]
    content = git("log", "--all", "--patch", "--format=%B") + git(
        "for-each-ref", "--format=%(refname) %(contents)"
    )
    assert "refs/heads/deploy/prod" in content and "refs/tags/v1.2.0" in content
    assert CANARY not in content
    assert CANARY in (ready.root / ".env").read_text(encoding="utf-8")


def test_a_password_in_the_address_of_the_remote(ready: Ready) -> None:
    """As CI has it in its clone."""
    ready.git("remote", "set-url", "origin", f"http://ci:{CANARY}@{NOWHERE}/team/forest.git")
    said = shown(ready, "deploy", "prod")
    assert NOWHERE in said  # git's reason
    assert CANARY not in said
