"""Runs tests/framework where the framework lives: in the environment of its own lock.

Airflow's pins and Copier's don't meet in one environment. So each module of tests/framework is a
test here, which runs pytest on it there. While you work on one:

    python -m tests.test_framework tests/framework/test_runner.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from plumbum import local
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "template" / "gaiaflow" / "locks" / "airflow.txt"
MODULES = sorted(path.stem for path in (ROOT / "tests" / "framework").glob("test_*.py"))

# For the tests themselves; all that the framework needs is in the lock.
TYPES = ("types-PyYAML", "types-docker", "types-psutil", "types-psycopg2")
TOOLS = ("hypothesis", "mypy", "pytest", *TYPES)


OPTIONS = (
    "--confcutdir=tests/framework",
    "--override-ini=pythonpath=template",
    "--override-ini=addopts=",  # this environment lacks xdist
)


def make_environment(folder: Path) -> Path:
    """An environment made of the lock: a second, once uv has the packages. Returns its Python."""
    python = folder / "bin" / "python"
    uv = local[find_uv_bin()]
    uv("venv", "--quiet", "--allow-existing", "--python", sys.executable, folder)
    install = uv["pip", "install", "--quiet", "--python", python]
    install("--require-hashes", "--requirements", LOCK)
    install(*TOOLS)
    return python


def environ(home: str | Path) -> dict[str, str]:
    """The environment variables for a tool that runs there."""
    # Options for this pytest are not for that one. And without bytecode on disk every process
    # would compile again what it imports of Airflow.
    not_for_it = {"PYTEST_ADDOPTS", "PYTHONDONTWRITEBYTECODE"}
    env = {name: value for name, value in os.environ.items() if name not in not_for_it}
    return env | {"AIRFLOW_HOME": str(home), "MYPYPATH": "template"}


@pytest.fixture(scope="session")
def airflow_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment made of the lock."""
    return make_environment(tmp_path_factory.mktemp("airflow"))


def run(python: Path, *arguments: str, home: Path) -> None:
    """Run a tool of the environment in the repository; its output is the failure's text."""
    command = [str(python), "-m", *arguments]
    env = environ(home)
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    sys.stdout.write(done.stdout)
    if done.returncode:
        pytest.fail(f"{done.stdout}\n{done.stderr}", pytrace=False)


# These look at the default ports and at the engine's images, as projects of this group do.
BESIDE = dict.fromkeys(
    ("test_doctor", "test_doctor_docker", "test_minikube"), pytest.mark.xdist_group("containers")
)


@pytest.mark.parametrize(
    "module", [pytest.param(name, marks=BESIDE.get(name, ())) for name in MODULES]
)
def test_framework(module: str, airflow_python: Path, tmp_path: Path) -> None:
    quiet = ("-q", "--color=no", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'framework'}")
    run(airflow_python, "pytest", *quiet, *OPTIONS, f"tests/framework/{module}.py", home=tmp_path)


def test_types(airflow_python: Path, tmp_path: Path) -> None:
    ours = ("template/gaiaflow", "template/mlops_manager.py", "template/dockerfiles/airflow")
    checked = (*ours, "tests/framework")
    # What builds on other packages' classes is checked where they are, by test_generated.py.
    options = (
        f"--cache-dir={tmp_path / 'mypy'}",
        "--exclude=gaiaflow/(monitoring|serving|stac|additions/skeletons)/",
    )
    run(airflow_python, "mypy", *options, *checked, home=tmp_path)


if __name__ == "__main__":
    made = make_environment(ROOT / ".airflow-venv")  # kept for the next time
    asked = [str(made), "-m", "pytest", *OPTIONS, *(sys.argv[1:] or ["tests/framework"])]
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(subprocess.run(asked, cwd=ROOT, env=environ(folder), check=False).returncode)
