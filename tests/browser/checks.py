"""What the pages of a running project must show, however its services run.

A folder of tests with such a project runs all of it with

    class TestPages(Pages):
        @pytest.fixture(scope="class")
        @classmethod
        def project(cls, stack: Project) -> Project:
            return stack
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import pages
from tests.stack.conftest import Project


class Pages:
    """The pages of `project`, with `run`, a green run of the example."""

    @pytest.fixture(scope="class")
    @classmethod
    def project(cls) -> Project:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def browser(cls) -> Iterator[Browser]:
        with pages.chromium_of_a_test() as browser:
            yield browser

    @pytest.fixture
    def page(self, browser: Browser) -> Iterator[Page]:
        with pages.new_page(browser) as page:
            yield page

    def test_airflow_refuses_a_wrong_password(self, page: Page, project: Project) -> None:
        pages.log_in(page, project, "wrong")
        expect(page.get_by_text("Invalid credentials")).to_be_visible()
        page.goto(project.url("AIRFLOW_PORT") + "/dags")
        expect(page.get_by_role("heading", name="Sign into Airflow")).to_be_visible()

    def test_the_graph_is_green(self, page: Page, project: Project, run: Any) -> None:
        pages.log_in(page, project)
        expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
        graph = pages.open_graph(page, run["url"])
        names = [task["task_id"] for task in run["tasks"]]
        assert pages.states_of(graph, len(names)) == dict.fromkeys(names, "success")

    def test_mlflow_shows_the_picture(self, page: Page, project: Project, run: Any) -> None:
        pages.open_last_run(page, project, "landcover")
        image = pages.show_artifact(page, "landcover.png")
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") >= 800

    def test_mlflow_shows_the_model(self, page: Page, project: Project, run: Any) -> None:
        versions = pages.open_model(page, project, "landcover")
        expect(versions.first).to_contain_text("accuracy")
        expect(versions.filter(has_text="@ champion")).to_have_count(1)

    def test_jupyterlab_refuses_a_wrong_token(self, page: Page, project: Project) -> None:
        pages.give_token(page, project, "wrong")
        expect(page.get_by_text("Invalid credentials")).to_be_visible()

    def test_jupyterlab_runs_the_tour(self, page: Page, project: Project) -> None:
        pages.give_token(page, project)
        expect(page.get_by_role("menubar")).to_be_visible()
        cells = pages.run_notebook(page, project, "notebooks/tour.ipynb")
        # The last one draws the map; it does not run if one before it has failed.
        expect(cells.filter(has_text="map_figure(").get_by_role("img")).to_be_visible()
