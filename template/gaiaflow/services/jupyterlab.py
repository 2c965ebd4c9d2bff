"""JupyterLab, in the project's environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from gaiaflow.services.base import Service, answers, port, project_python
from gaiaflow.settings import Project, client_env


def _command(project: Project) -> list[str]:
    command = [
        *(project_python(project), "-m", "gaiaflow.quick", "jupyterlab", "--no-browser"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={project.env['JUPYTER_PORT']}"),
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={project.root}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        f"--LabApp.app_settings_dir={_settings(project)}",
    ]
    return [*command, "--allow-root"] if os.geteuid() == 0 else command


def _settings(project: Project) -> Path:
    """Defaults of ours for JupyterLab's settings: it need not ask at its first start about news."""
    folder = project.state / "jupyterlab"
    folder.mkdir(parents=True, exist_ok=True)
    overrides = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}
    (folder / "overrides.json").write_text(json.dumps(overrides), encoding="utf-8")
    return folder


def _env(project: Project) -> Mapping[str, str]:
    # The token travels in the environment: a command line can be read by every user.
    return {**client_env(project), "JUPYTER_TOKEN": project.env["JUPYTER_TOKEN"]}


SERVICES = (
    Service(
        "jupyterlab",
        _command,
        _env,
        needs=("environment",),
        healthy=answers("JUPYTER_PORT", "/api"),
        ports=port("JUPYTER_PORT"),
        page="/lab",
        login=lambda project: f"token {project.env['JUPYTER_TOKEN']}",
    ),
)
