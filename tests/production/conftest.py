"""What these tests share: Airflow's environment for production, and a place for its account."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.stack.conftest import Generate, generate, uv
from tests.stack.test_modes import SERVICE_ACCOUNT

from .team import make_environment

__all__ = ["Generate", "generate", "uv"]

HERE = Path(__file__).resolve().parent


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            # Not beside test_modes.py, which needs the same place for an account.
            item.add_marker(pytest.mark.xdist_group("modes"))


@pytest.fixture(scope="session")
def environment(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    lock = ROOT / "template" / "gaiaflow" / "locks" / "production.txt"
    return make_environment(uv, lock, tmp_path_factory.mktemp("production") / "environment")


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that Airflow finds as the one that Kubernetes mounts."""
    if os.geteuid() or SERVICE_ACCOUNT.exists():
        pytest.skip(f"needs to be root to write {SERVICE_ACCOUNT}, which must not be there")
    folder = tmp_path_factory.mktemp("cluster") / "serviceaccount"
    SERVICE_ACCOUNT.parent.mkdir(parents=True, exist_ok=True)
    SERVICE_ACCOUNT.symlink_to(folder)
    yield folder
    SERVICE_ACCOUNT.unlink(missing_ok=True)
