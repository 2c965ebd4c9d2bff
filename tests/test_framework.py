"""Runs tests/framework where the framework lives: in the environment of its own lock.

Airflow's pins and Copier's don't meet in one environment. So each module of tests/framework is a
test here, which runs pytest on it there. To run one by hand, with more of its output:

    python -m pytest tests/test_framework.py -k runner -v
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from plumbum import local

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "template" / "gaiaflow" / "locks" / "airflow.txt"
MODULES = sorted(path.stem for path in (ROOT / "tests" / "framework").glob("test_*.py"))

# The tools of the tests; all that the framework itself needs is in the lock.
TOOLS = ("pytest", "hypothesis", "mypy", "types-psutil")


@pytest.fixture(scope="session")
def airflow_python(request: pytest.FixtureRequest) -> Path:
    """The interpreter of an environment made of the lock. Kept in pytest's cache."""
    cache: pytest.Cache = request.config.cache
    folder = cache.mkdir("airflow-environment")
    python = folder / "bin" / "python"
    uv = local["uv"]
    uv("venv", "--quiet", "--allow-existing", "--python", sys.executable, folder)
    install = uv["pip", "install", "--quiet", "--python", python]
    install("--require-hashes", "--requirements", LOCK)
    install(*TOOLS)
    return python


@pytest.mark.parametrize("module", MODULES)
def test_framework(module: str, airflow_python: Path, tmp_path: Path) -> None:
    # Without bytecode on disk every process would compile all of Airflow that it imports.
    env = {key: v for key, v in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    pytest_here = local[str(airflow_python)][
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no"),
        *("--confcutdir=tests/framework", "--override-ini=pythonpath=template"),
        f"--basetemp={tmp_path / 'framework'}",
        f"tests/framework/{module}.py",
    ]
    with local.cwd(ROOT):
        code, out, err = pytest_here.run(
            retcode=None, env={**env, "AIRFLOW_HOME": str(tmp_path / "airflow")}
        )
    if code:
        pytest.fail(f"{out}\n{err}", pytrace=False)
    sys.stdout.write(out)
