"""The paths of a project's parts.

Standard library only.
"""

from __future__ import annotations

from pathlib import Path

FRAMEWORK = Path(__file__).resolve().parents[1]
ROOT = FRAMEWORK.parent
LOCKS = FRAMEWORK / "locks"
AIRFLOW_LOCK, MLFLOW_LOCK, MAPS_LOCK = (
    LOCKS / f"{name}.txt" for name in ("airflow", "mlflow", "maps")
)

STATE = ".gaiaflow"


class StateFolder:
    """`.gaiaflow`: everything that programs write for a project, outside git."""

    def __init__(self, root: Path) -> None:
        self.path = path = root / STATE
        # Environments and their stamps.
        self.airflow = path / "airflow"
        self.airflow_python = self.airflow / "bin" / "python"
        self.airflow_stamp = self.airflow / "gaiaflow.stamp"
        self.maps = path / "maps"
        self.maps_python = self.maps / "bin" / "python"
        self.maps_stamp = self.maps / "gaiaflow.stamp"
        self.project_stamp = path / "project.stamp"
        self.lock_stamp = path / "lock.stamp"
        self.uv = path / "uv"  # the folder where uv was last found
        # Services.
        self.backend = path / "backend"  # the one started last
        self.own_ports = path / "own-ports.json"  # numbers of the project's own services
        self.own_compose_file = path / "own-services.json"  # the project's, for Compose
        self.compose_root = path / "compose-root"  # the project, as containers know it
        self.data = path / "data"
        self.logs = path / "logs"
        self.run = path / "run"  # records and sockets of running services
        self.services_lock = self.run / "lock"
        self.images_stamp = self.run / "images.stamp"
        self.maps_image_stamp = self.run / "maps-image.stamp"
        self.task_containers = self.run / "task-containers"  # exists if a task ran in a container
        self.airflow_home = path / "airflow-home"
        self.jupyterlab = path / "jupyterlab"
        self.calls = path / "calls"  # what functions were last called with
        self.additions = path / "additions.json"  # what `new` has made
        self.profiles = path / "profiles"
        self.warm = path / "warm.json"  # what the server of warm tasks imports
        self.served = path / "served"  # models, as long as they are served
        self.certificates = path / "certificates"
        self.minikube = path / "minikube"
        self.kubeconfig = self.minikube / "kubeconfig"  # which minikube writes
        self.detached_log = path / "detached.log"
        # Updates.
        self.update = path / "update"
        self.undo = self.update / "undo.py"
        self.update_lock = path / "update.lock"
        self.kept = path / "kept"
