"""A headless Chromium, and the pages of a running project as a person goes through them.

Chromium is the system's (Debian: the package chromium), driven by Playwright. All functions wait
for what they look for, up to a limit, and raise if it does not come.

`python -m tests.browser.pictures` draws the pictures of the documentation with them.
"""

from __future__ import annotations

import base64
import contextlib
import shutil
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

from gaiaflow.project import maps

from tests.stack.conftest import Project

LIMIT = 90_000  # ms until a page must show something; a second or two on a quiet machine
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# It shall do what it is told only: no updates, no accounts, no way around 127.0.0.1.
_OPTIONS = ["--disable-gpu", "--disable-quic", "--disable-sync", "--no-proxy-server"]
_SIZE: ViewportSize = {"width": 1280, "height": 690}


def program() -> str | None:
    """Where Chromium is, if it is installed."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


@contextlib.contextmanager
def chromium(executable: str) -> Iterator[Browser]:
    """A browser with a profile of its own, which is removed at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_OPTIONS)
        yield browser
        browser.close()


@contextlib.contextmanager
def chromium_of_a_test() -> Iterator[Browser]:
    """The same for a test, which is skipped where Chromium is not installed."""
    executable = program()
    if not executable:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    with chromium(executable) as browser:
        yield browser


@contextlib.contextmanager
def new_page(browser: Browser) -> Iterator[Page]:
    """A page that knows nobody: no cookies, nothing stored."""
    expect.set_options(timeout=LIMIT)
    with browser.new_context(viewport=_SIZE, locale="en-GB", timezone_id="UTC") as context:
        context.set_default_timeout(LIMIT)
        yield context.new_page()


# --- Airflow -------------------------------------------------------------------------------------


def log_in(page: Page, project: Project, password: str | None = None) -> None:
    """Give Airflow the project's user and password (or another one); what follows is open."""
    page.goto(project.url("AIRFLOW_PORT"))
    page.get_by_label("Username").fill(project.env["AIRFLOW_USER"])
    page.get_by_label("Password").fill(password or project.env["AIRFLOW_PASSWORD"])
    page.get_by_role("button", name="Sign in").click()


def open_graph(page: Page, run_url: str) -> Locator:
    """The graph of a run, when it is drawn. Wants a log-in before."""
    page.goto(run_url)
    page.get_by_role("button", name="Collapse Details Panel").click()
    page.get_by_role("button", name="Show Graph").click()
    graph = page.locator(".react-flow")
    expect(graph.locator(".react-flow__node").first).to_be_visible()
    return graph


def states_of(graph: Locator, tasks: int) -> dict[str, str]:
    """The state that a graph of so many tasks shows at each of them."""
    nodes = graph.locator(".react-flow__node")
    expect(nodes).to_have_count(tasks)
    badges = nodes.get_by_test_id("state-badge")
    expect(badges).to_have_count(tasks)
    names = nodes.get_by_role("link").all_inner_texts()
    return dict(zip(names, badges.all_inner_texts(), strict=True))


def give_answer(page: Page, address: str, answer: str, question: str) -> None:
    """Answer the question of a task at its page, by a click. Wants a log-in before."""
    page.goto(address)
    expect(page.get_by_text(question)).to_be_visible()
    page.get_by_role("button", name=answer, exact=True).click()
    expect(page.get_by_text("Response received")).to_be_visible()


# --- MLflow --------------------------------------------------------------------------------------


def _open_mlflow(page: Page, project: Project) -> None:
    news = page.get_by_role("dialog", name="Model Registry UI")
    page.add_locator_handler(news, lambda: news.get_by_role("button", name="Close").click())
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    user, password = (project.env[name] for name in names)
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    page.set_extra_http_headers({"Authorization": f"Basic {token}"})
    page.goto(project.url("MLFLOW_PORT"))
    # It begins as a place to train models, without an assistant over it.
    expect(page.get_by_role("link", name="Model registry")).to_be_visible()
    expect(page.get_by_role("button", name="Close", exact=True)).to_have_count(0)


def open_last_run(page: Page, project: Project, name: str) -> None:
    """The newest run of this name among the project's experiment."""
    _open_mlflow(page, project)
    page.get_by_role("link", name="Experiments").first.click()
    page.get_by_role("link", name=project.env["PACKAGE"], exact=True).first.click()
    page.get_by_role("gridcell").get_by_role("link", name=name, exact=True).first.click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()


def show_artifact(page: Page, file: str) -> Locator:
    """The picture among a run's artifacts, when it is loaded. Wants the run's page open."""
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text(file, exact=True).first.click()
    image = page.get_by_role("img", name=file)
    expect(image).to_be_visible()
    return image


def open_model(page: Page, project: Project, name: str) -> Locator:
    """The versions of a registered model, newest first: the rows of a table."""
    _open_mlflow(page, project)
    page.get_by_role("link", name="Model registry").click()
    page.get_by_role("link", name=name, exact=True).click()
    rows = page.get_by_role("row").filter(has=page.get_by_role("link", name="Version"))
    expect(rows.first).to_be_visible()
    return rows


# --- JupyterLab ----------------------------------------------------------------------------------


def give_token(page: Page, project: Project, token: str | None = None) -> None:
    """Go to JupyterLab and give it the project's token, or another one."""
    page.goto(f"{project.url('JUPYTER_PORT')}/lab")
    page.get_by_label("Password or token:").fill(token or project.env["JUPYTER_TOKEN"])
    page.get_by_role("button", name="Log in", exact=True).click()


def run_notebook(page: Page, project: Project, path: str) -> Locator:
    """Open a notebook and run all of its cells, which are returned. Wants the token before."""
    page.goto(f"{project.url('JUPYTER_PORT')}/lab/tree/{path}")
    # Menus are complete only when the kernel is there.
    expect(page.get_by_role("button", name="| Idle")).to_be_visible()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    return page.locator(".jp-Cell")


# --- The map -------------------------------------------------------------------------------------


def open_map(page: Page, project: Project, collection: str, item: str = "") -> None:
    """The map of an item, when it is drawn; the browser gets a ticket as from `open maps`."""
    server = project.url("MAPS_PORT")
    ticket = maps.ticket(project.env["MLFLOW_TRACKING_PASSWORD"], time.time())
    page.goto(f"{server}{maps.ENTRANCE}?ticket={ticket}")
    expect(page.get_by_label("Collection")).to_be_visible()
    page.goto(f"{server}/#{collection}/{item}".rstrip("/"))
    expect(page.locator(f".leaflet-left-pane img[src*='/{collection}/']").first).to_be_visible()


def wait_for_tiles(page: Page) -> None:
    """Wait until all tiles of the shown layers are drawn."""
    page.wait_for_load_state("networkidle")
    expect(page.locator("img.leaflet-tile:not(.leaflet-tile-loaded)")).to_have_count(0)
