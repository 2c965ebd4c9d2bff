"""The pages of services in containers, in a real browser."""

from __future__ import annotations

import pytest

from tests.browser.checks import Pages

from .conftest import Project


class TestPages(Pages):
    @pytest.fixture(scope="class")
    @classmethod
    def project(cls, containers: Project) -> Project:
        return containers
