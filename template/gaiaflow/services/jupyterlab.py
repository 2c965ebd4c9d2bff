"""JupyterLab, in the project's environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gaiaflow import inherited
from gaiaflow.services.base import Service, answers, port, project_python
from gaiaflow.settings import Project, client_env

# Of ours for JupyterLab: it need not ask at its first start about news.
_DEFAULTS = Path(__file__).parents[1] / "jupyterlab_settings"


def _command(project: Project) -> list[str]:
    command = [
        *(project_python(project), "-m", "gaiaflow.quick", "jupyterlab", "--no-browser"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={project.env['JUPYTER_PORT']}"),
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={project.root}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        f"--LabApp.app_settings_dir={_DEFAULTS}",
    ]
    return [*command, "--allow-root"] if os.geteuid() == 0 else command


def _env(project: Project) -> Mapping[str, str]:
    # The token travels in the environment: a command line can be read by every user.
    return {
        **client_env(project),
        **inherited.without_socks(os.environ),
        **_folders(project),
        "JUPYTER_TOKEN": project.env["JUPYTER_TOKEN"],
    }


def _folders(project: Project) -> Mapping[str, str]:
    """Folders of the project's own: in the home there may be kernels and files of another one.

    The person's settings of JupyterLab itself, as its theme and shortcuts, hold here too.
    """
    own = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "IPYTHONDIR": "ipython"}
    folder = project.state / "jupyterlab"
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
        needs=("environment",),
        uses=("mlflow", "object-store"),
        healthy=answers("JUPYTER_PORT", "/api"),
        ports=port("JUPYTER_PORT"),
        page="/lab",
        login=lambda project: f"token {project.env['JUPYTER_TOKEN']}",
    ),
)
