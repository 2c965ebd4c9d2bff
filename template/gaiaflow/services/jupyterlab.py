"""JupyterLab, in the project's environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gaiaflow.project import inherited
from gaiaflow.project.clients import client_env
from gaiaflow.project.project import Project
from gaiaflow.services.base import Service, answers, port, project_python

# Our defaults for JupyterLab: don't ask about news at the first start.
_DEFAULTS = Path(__file__).parents[1] / "jupyterlab_settings"


def _command(project: Project) -> list[str]:
    command = [
        *(
            project_python(project),
            "-m",
            "gaiaflow.entrypoints.quick",
            "jupyterlab",
            "--no-browser",
        ),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={project.env['JUPYTER_PORT']}"),
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={project.root}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        f"--LabApp.app_settings_dir={_DEFAULTS}",
    ]
    return [*command, "--allow-root"] if os.geteuid() == 0 else command


def _env(project: Project) -> Mapping[str, str]:
    # Pass the token in the environment: every user can read command lines.
    return {
        **client_env(project),
        **inherited.without_socks(os.environ),
        **_folders(project),
        "JUPYTER_TOKEN": project.env["JUPYTER_TOKEN"],
    }


def _folders(project: Project) -> Mapping[str, str]:
    """The project's own folders: those in the home may have other projects' kernels and files.

    The user's settings for JupyterLab itself, such as theme and shortcuts, apply here too.
    """
    own = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "IPYTHONDIR": "ipython"}
    folder = project.state.jupyterlab
    return {
        **{name: str(folder / place) for name, place in own.items()},
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(Path.home() / ".jupyter" / "lab" / "user-settings"),
    }


SERVICES = (
    Service(
        "jupyterlab",
        _command,
        _env,
        depends_on=("environment",),
        uses=("mlflow", "object-store"),
        healthy=answers("JUPYTER_PORT", "/api"),
        ports=port("JUPYTER_PORT"),
        page="/lab",
        login=lambda project: f"token {project.env['JUPYTER_TOKEN']}",
    ),
)
