"""Which rooms of the framework may import which, depending on where they run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FRAMEWORK = Path(__file__).parents[2] / "template" / "gaiaflow"
ROOMS = {
    # Any Python: the user's, an image's, a pod's.
    "project": set[str](),
    "runner": {"project"},
    "bootstrap": {"project", "doctor"},
    # Airflow's environment, inside Airflow.
    "operators": {"project", "runner", "warm"},
    "dag_report": {"project", "operators"},
    # Both ends of a connection: inside Airflow, and in the project's environment.
    "warm": {"project"},
    # Airflow's environment, for commands.
    "console": set[str](),
    "airflow_client": {"project"},
    "mlflow_client": {"project"},
    "objects": {"project"},
    "lineage": {"project", "airflow_client", "mlflow_client", "objects"},
    "services": {"project", "objects"},
    "backends": {"project", "services"},
    "minikube": {"project", "backends"},
    "doctor": {"project", "services", "console"},
    "update": {"project", "console"},
    "outline": set[str](),
    "additions": {"project", "services", "update", "outline"},
    "completion": {
        *("project", "services", "objects", "mlflow_client", "outline", "additions"),
    },
    "release": {"project", "mlflow_client", "backends", "doctor"},
    "cluster": {"project", "console", "backends", "doctor", "release"},
    "rehearsal": {"project", "airflow_client", "backends", "minikube", "release", "cluster"},
    "notifying": {"project"},  # also inside Airflow
    "cli": {
        *("project", "console", "airflow_client", "mlflow_client", "objects", "lineage"),
        *("services", "backends", "minikube", "doctor", "update", "notifying"),
        *("release", "cluster", "rehearsal", "warm", "testing", "additions", "completion"),
    },
    # The project's environment, and that of the map.
    "web": set[str](),
    # Either environment, with `python -m`.
    "entrypoints": {"project"},
    # An environment of its own; `__init__` also in the project's.
    "maps": {"project", "entrypoints", "web"},
    # The project's environment.
    "contracts": set[str](),
    "monitoring": {"stac"},
    "promotion": {"project"},
    "rasters": {"web"},
    "serving": {"project"},
    "smoke": {"project"},
    "stac": {"project", "rasters"},
    "testing": {"project", "runner"},
}
# Rooms that run where only these packages are installed, if any.
PACKAGES = {
    "project": set[str](),
    "runner": set[str](),
    "bootstrap": set[str](),
    "testing": set[str](),
    "warm": set[str](),
    "contracts": {"pandas", "pandera"},
    "doctor": {"rich"},  # if installed
    "maps": {
        *("boto3", "botocore", "fastapi", "numpy", "rasterio", "rio_tiler", "starlette"),
        *("titiler", "uvicorn"),
    },
    "monitoring": {"matplotlib", "mlflow", "numpy", "pandas", "scipy"},
    "promotion": {"mlflow", "requests"},
    "rasters": {
        *("affine", "boto3", "botocore", "geopandas", "numpy", "pandas", "rasterio"),
        *("shapely", "threadpoolctl"),
    },
    "serving": {
        *("botocore", "mlflow", "numpy", "pandas", "prometheus_client", "pyarrow", "requests"),
        *("starlette", "uvicorn"),
    },
    "smoke": {"mlflow", "numpy", "sklearn"},
    "stac": {
        *("boto3", "pyarrow", "pystac", "pystac_client", "rasterio", "requests", "shapely"),
        *("stac_geoparquet", "urllib3"),
    },
    "web": {"planetary_computer", "requests"},
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(room: str) -> list[Path]:
    folder = FRAMEWORK / room
    found = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    return [path for path in found if "skeletons" not in path.parts]  # they become users' files


def test_every_module_is_in_a_room() -> None:
    names = {path.relative_to(FRAMEWORK).parts[0] for path in FRAMEWORK.rglob("*.py")}
    assert {name.removesuffix(".py") for name in names} == {*ROOMS, "__init__", "__main__"}


@pytest.mark.parametrize("room", ROOMS)
def test_walls(room: str) -> None:
    for path in modules(room):
        used = [name.split(".") for name in imports(path) if name.startswith("gaiaflow.")]
        rooms = {parts[1] for parts in used} - {room, "__version__"}
        assert rooms <= ROOMS[room], path


@pytest.mark.parametrize("room", PACKAGES)
def test_packages(room: str) -> None:
    allowed = {*sys.stdlib_module_names, *PACKAGES[room], "gaiaflow"}
    for path in modules(room):
        assert {name.partition(".")[0] for name in imports(path)} <= allowed, path


def test_airflows_private_modules_are_used_in_one_place() -> None:
    users = {
        path.name
        for room in ROOMS
        for path in modules(room)
        if any(name.startswith("airflow.") and "._" in name for name in imports(path))
    }
    assert users == {"dag_context.py"}
